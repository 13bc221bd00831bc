"""What activations hold on calibration images: histograms, ranges chosen from them, files and tables of both."""
