// The kernel's errnos and counters in our words.
#pragma once

#include "kernel_if/xfrm/request_pipeline.hpp"

namespace imago::kernel_if::xfrm {

// Of an answer with a code, or without what was asked for.
error error_of(std::string what, const answer& said);
data_plane::sa_usage usage_of(const sa_image& image, instant now, std::int64_t wall_seconds);

}  // namespace imago::kernel_if::xfrm
