"""What activations hold on calibration images: histograms, the ranges chosen, files and tables of both."""
