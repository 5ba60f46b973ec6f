"""What the sidecar withstands: each promised figure is measured on real processes and printed beside what was asked."""
