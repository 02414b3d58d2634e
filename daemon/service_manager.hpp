// What a service manager is told (sd_notify's protocol, without libsystemd).
#pragma once

#include <string_view>

namespace imago {

// Sends `state` ("READY=1") to $NOTIFY_SOCKET if that is set; nobody there is no error.
void notify_service_manager(std::string_view state);

}  // namespace imago
