// The built-ins of CUDA C++ in ordinary C++, so that the CUDA dialect of kernels/labels.cl runs on a CPU.
//
// A launch runs block after block. Every work item of a block is a fiber with a stack of its own; it runs until
// it exchanges lanes, votes or waits at a barrier, then the next one runs. All 32 lanes of a warp must arrive at
// the same exchange, and all items of a block at the same barrier: whatever hangs or is undefined on a GPU ends
// the launch with a message here. The order of the fibers is chosen by the caller, so that a missing barrier
// shows itself in one order or another. One launch at a time. No container of the standard library: with them,
// half of the time of every compilation would go to their headers.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <ucontext.h>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct Index {
    unsigned x;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace fibers {

constexpr unsigned WARP = 32, MOST = 1024;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { ready, at_barrier, at_shuffle, at_vote, done };

struct Fiber {
    void *stack;
    ucontext_t entry;
    jmp_buf place;
    bool started;
    State state;
    unsigned value, source;
};

static Fiber all[MOST];
static jmp_buf scheduler;
static unsigned current;
static void (*body)(void **);
static void **body_arguments;
static char failure[160];

// Not swapcontext after the first entry: it asks the system for the signal mask at every switch.
static void pause_as(State state)
{
    Fiber &me = all[current];
    me.state = state;
    if (_setjmp(me.place) == 0) _longjmp(scheduler, 1);
}

static void first_entry()
{
    body(body_arguments);
    all[current].state = State::done;
    _longjmp(scheduler, 1);
}

static void resume(unsigned item)
{
    current = item;
    threadIdx.x = item;
    Fiber &fiber = all[item];
    if (_setjmp(scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    getcontext(&fiber.entry);
    if (!fiber.stack) fiber.stack = malloc(STACK_BYTES);
    fiber.entry.uc_stack.ss_sp = fiber.stack;
    fiber.entry.uc_stack.ss_size = STACK_BYTES;
    fiber.entry.uc_link = nullptr;
    makecontext(&fiber.entry, first_entry, 0);
    setcontext(&fiber.entry);
}

static bool fail(const char *what)
{
    snprintf(failure, sizeof failure, "block %u: %s", blockIdx.x, what);
    return false;
}

// Gives every lane what it asked for. False: the lanes of the warp are not at the same place.
static bool exchange(unsigned first, unsigned last)
{
    const State state = all[first].state;
    unsigned any = 0;
    if (last - first != WARP) return fail("a warp of fewer than 32 lanes exchanges values with a mask of 32");
    for (unsigned i = first; i < last; i++) {
        if (all[i].state != state) return fail("the lanes of a warp are at different exchanges, barriers or ends");
        any |= all[i].value;
    }
    unsigned values[WARP];
    for (unsigned i = first; i < last; i++)
        values[i - first] = state == State::at_vote ? any : all[first + all[i].source].value;
    for (unsigned i = first; i < last; i++) {
        all[i].value = values[i - first];
        all[i].state = State::ready;
    }
    return true;
}

static bool run_block(unsigned items, unsigned order)
{
    unsigned sequence[MOST];
    for (unsigned i = 0; i < items; i++) sequence[i] = order == 1 ? items - 1 - i : i;
    for (;;) {
        if (order > 1)
            for (unsigned i = items - 1; i > 0; i--) {
                order = order * 1664525u + 1013904223u;
                std::swap(sequence[i], sequence[(order >> 8) % (i + 1)]);
            }
        for (unsigned i = 0; i < items; i++)
            if (all[sequence[i]].state == State::ready) resume(sequence[i]);
        unsigned done = 0, waiting = 0;
        bool exchanged = false;
        for (unsigned first = 0; first < items; first += WARP) {
            const unsigned last = first + WARP < items ? first + WARP : items;
            bool wanted = false;
            for (unsigned i = first; i < last; i++) {
                wanted |= all[i].state == State::at_shuffle || all[i].state == State::at_vote;
                done += all[i].state == State::done;
                waiting += all[i].state == State::at_barrier;
            }
            if (wanted && !exchange(first, last)) return false;
            exchanged |= wanted;
        }
        if (exchanged) continue;
        if (done == items) return true;
        if (waiting != items) return fail("some items wait at a barrier, others have ended");
        for (unsigned i = 0; i < items; i++) all[i].state = State::ready;
    }
}

} // namespace fibers

static void __syncthreads() { fibers::pause_as(fibers::State::at_barrier); }

static unsigned __shfl_sync(unsigned, unsigned value, unsigned source, unsigned width)
{
    fibers::Fiber &me = fibers::all[threadIdx.x];
    const unsigned lane = threadIdx.x % fibers::WARP;
    me.value = value;
    me.source = lane / width * width + source % width;
    fibers::pause_as(fibers::State::at_shuffle);
    return me.value;
}

static int __any_sync(unsigned, int predicate)
{
    fibers::Fiber &me = fibers::all[threadIdx.x];
    me.value = predicate != 0;
    fibers::pause_as(fibers::State::at_vote);
    return (int)me.value;
}

static unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n)
{
    n &= 31;
    return n ? (high << n) | (low >> (32 - n)) : high;
}

static unsigned __byte_perm(unsigned low, unsigned high, unsigned selector)
{
    const unsigned long long both = (unsigned long long)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(both >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
    return result;
}

// The system's headers may define these two names as other types.
#define uint uint_of_kernel
#define ulong ulong_of_kernel
#include "labels.cl"

namespace entry {

template <class T> struct Plain {
    using type = T;
};
template <class T> struct Plain<const T> {
    using type = T;
};

template <class... P, size_t... I>
static void call(void (*kernel)(P...), void **arguments, std::index_sequence<I...>)
{
    kernel(*(typename Plain<P>::type *)arguments[I]...);
}

template <class... P> static void spread(void (*kernel)(P...), void **arguments)
{
    call(kernel, arguments, std::index_sequence_for<P...>());
}

struct Kernel {
    const char *name;
    void (*body)(void **);
    int widths[16];
};

template <class... P> static Kernel describe(const char *name, void (*)(P...), void (*body)(void **))
{
    return {name, body, {(int)sizeof(P)...}};
}

#define ENTRY(name) describe(#name, name, [](void **arguments) { spread(name, arguments); })
static const Kernel kernels[] = {KERNEL_ENTRIES};

} // namespace entry

extern "C" {

// Number of the kernel, -1 where there is none of that name. `widths` receives the size of each argument in bytes.
int shim_find(const char *name, int widths[16])
{
    for (int k = 0; k < (int)(sizeof entry::kernels / sizeof *entry::kernels); k++) {
        if (strcmp(entry::kernels[k].name, name) != 0) continue;
        memcpy(widths, entry::kernels[k].widths, sizeof entry::kernels[k].widths);
        return k;
    }
    return -1;
}

// Runs a launch. `order`: 0 items in turn, 1 backwards, else the seed of an order that changes at every stop.
// Returns null, or what went wrong.
const char *shim_launch(int kernel, unsigned groups, unsigned size, unsigned order, void **arguments)
{
    if (size > fibers::MOST) return "a group of more than 1024 items";
    fibers::body = entry::kernels[kernel].body;
    fibers::body_arguments = arguments;
    blockDim.x = size;
    gridDim.x = groups;
    for (unsigned block = 0; block < groups; block++) {
        blockIdx.x = block;
        for (unsigned i = 0; i < size; i++) {
            fibers::all[i].started = false;
            fibers::all[i].state = fibers::State::ready;
        }
        if (!fibers::run_block(size, order > 1 ? order + block : order)) return fibers::failure;
    }
    return nullptr;
}

} // extern "C"
