"""The command `smesher poet` and its words."""
