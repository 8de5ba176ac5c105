"""SCALE and XDR: how values become bytes. Everything that is declared here is generated at its first use."""
