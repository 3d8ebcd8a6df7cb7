// An NPU context belongs to the process that made it: after fork() the child is told so instead of hanging on a lock
// or talking to the parent's device.
#pragma once

#include <cstdint>

namespace rknn_ep {

// Counts the forks between the first call and this process.
uint64_t fork_generation() noexcept;

// Whether this process is a fork of the one that called fork_generation() for `generation`.
bool forked_since(uint64_t generation) noexcept;

// Throws Failure in a forked process.
void check_not_forked(uint64_t generation);

}  // namespace rknn_ep
