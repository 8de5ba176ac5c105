"""What a run looked like, layer by layer: recorded while it goes on, and as one page that needs no network."""
