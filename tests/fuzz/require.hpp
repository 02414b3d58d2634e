// What must hold for every input. Unlike assert() it is there in every kind of build.
#pragma once

#include <cstdio>
#include <cstdlib>

#define IMAGO_REQUIRE(condition)                                                          \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)
