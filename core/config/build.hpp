// Building the model with all errors collected. Private to core/config.
#pragma once

#include "core/config/report.hpp"

namespace imago::config {

connection_config build_connection(const section& from, const load_context& context,
                                   report& report);

}  // namespace imago::config
