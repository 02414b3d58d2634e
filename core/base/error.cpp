#include "core/base/error.hpp"

namespace imago {

std::string_view name_of(errc code) {
  switch (code) {
#define X(name, text) \
  case errc::name: return #name;
    IMAGO_ERRORS(X)
#undef X
  }
  return "unknown";
}

std::string_view text_of(errc code) {
  switch (code) {
#define X(name, text) \
  case errc::name: return text;
    IMAGO_ERRORS(X)
#undef X
  }
  return "unknown error";
}

std::string error::text() const {
  if (where.empty()) return std::string{text_of(code)};
  return where + ": " + std::string{text_of(code)};
}

}  // namespace imago
