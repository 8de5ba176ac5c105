"""The command `smesher`. `main` is the entry; every command is a module of this package, loaded when it is used."""
