# Everything comes from Debian 12; ./dev installs the packages.
find_package(OpenSSL 3.0 REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)

# libcaf-dev has no CMake or pkg-config file.
find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
file(STRINGS ${CAF_INCLUDE_DIR}/caf/config.hpp caf_version REGEX "#define CAF_VERSION 1706")
if(NOT caf_version)
  message(FATAL_ERROR "CAF 0.17.6 is needed (Debian 12's libcaf-dev); see ${CAF_INCLUDE_DIR}/caf/config.hpp")
endif()
add_library(caf_core SHARED IMPORTED)
set_target_properties(caf_core PROPERTIES IMPORTED_LOCATION ${CAF_CORE_LIBRARY}
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${CAF_INCLUDE_DIR}
  INTERFACE_LINK_LIBRARIES Threads::Threads)

# An allocator for programs that make and destroy actor after actor: a sixth of a world's time
# (decision 0008), a twelfth of a responder's. Without it, and under sanitizers, the C library's.
find_package(mimalloc QUIET)
add_library(imago_fast_malloc INTERFACE)
if(mimalloc_FOUND AND NOT IMAGO_SANITIZE)
  target_link_libraries(imago_fast_malloc INTERFACE mimalloc)
endif()
