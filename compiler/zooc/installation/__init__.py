"""What zooc finds on this machine: libraries, engines, processor, folders, programs."""
