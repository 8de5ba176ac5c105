"""The commands `smesher wallet` and `smesher tx`."""
