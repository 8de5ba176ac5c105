"""Arrays in, arrays out: the algorithms that need the silicon, on a CPU (and, later, a GPU).

The room knows nothing of networks, files or sockets. From outside, import `kernels.cpu` and
`kernels.device` (devices and label engines), `kernels.pool` (several devices on one range),
`kernels.target` (which instruction set is used) and `kernels.errors`.
"""
