// What a process may do on its host, given up before it begins (capabilities(7), prctl(2)).
#pragma once

#include <string>

#include "core/base/result.hpp"

namespace imago {

// Keeps CAP_NET_ADMIN (XFRM, routes, TUN, SO_MARK) and CAP_NET_BIND_SERVICE (UDP 500 and 4500) as
// far as the process has them, and gives up every other capability in all five sets; sets
// no_new_privs. With `user`, a name of passwd(5), it becomes that user with its groups.
//
// Of the calling thread and those it will make: call it before there are others. Where the bounding
// set may not be changed (no CAP_SETPCAP) it stays, and no_new_privs makes it idle.
// Errors: no such user, or what the host refuses; then the process must end.
status drop_privileges(const std::string& user = {});

// Makes `folder` if it is missing, and then it is `user`'s. One that exists is left as it is.
// Errors: no such user, or what the host refuses.
status make_folder_of(const std::string& folder, const std::string& user);

}  // namespace imago
