"""Arrays in, arrays out: the algorithms that need the silicon, on a CPU (and, later, a GPU).

The room knows nothing of networks, files or sockets. From outside, import `kernels.labels.cpu` and
`kernels.devices.types` (devices and label engines), `kernels.devices.pool` (several devices on one range),
`kernels.vectors.target` (which instruction set is used) and `kernels.errors`.
"""
