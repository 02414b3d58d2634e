// The system calls that are left to imagod once its sockets and devices are open (seccomp(2)).
//
// An allow-list: what is not in sandbox.cpp is refused with EPERM in every thread, the kernel's
// audit log says so (auditd(8), type SECCOMP), and the daemon lives on: a library's idle question
// must not end the tunnels of a gateway. Not a parameter at run time, so that there is one list.
#pragma once

#include <cstddef>

#include "core/base/result.hpp"

namespace imago {

// What may be written besides sockets and descriptors that are open already.
struct sandbox_rules {
  // Files may be made, written, replaced and locked: a lease journal is kept. False: files are only
  // read (the configuration, again).
  bool keeps_files = false;
};

// False in builds with a sanitizer, which needs more (ptrace, executable memory).
bool has_sandbox();

// From now on, for all threads and for good. Sets no_new_privs. Still allowed: the making of the
// control socket (its folder, its mode), which close_sandbox() takes away.
// Errors: a kernel without seccomp filters, or what it refuses; nothing is in force then.
// Returns how many system calls are allowed.
result<std::size_t> enter_sandbox(const sandbox_rules& rules);

// After the control socket is there: no folder, no mode, no listening socket is made any more.
status close_sandbox();

}  // namespace imago
