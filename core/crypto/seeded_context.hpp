// An OpenSSL library context whose randomness is a stream that a seed determines: the same seed
// gives the same nonces, SPIs, key pairs, IVs and signatures. For worlds and tests; never where a
// key is to be kept.
#pragma once

#include <cstdint>
#include <memory>

struct ossl_lib_ctx_st;
struct ossl_provider_st;

namespace imago::crypto {

// One thread at a time. Outlives every `library` made from it. Aborts if OpenSSL cannot be set up,
// which only a lack of memory explains.
class seeded_context {
 public:
  explicit seeded_context(std::uint64_t seed);
  ~seeded_context();
  seeded_context(const seeded_context&) = delete;
  seeded_context& operator=(const seeded_context&) = delete;

  // Begins the stream of that seed anew; cheap.
  void reseed(std::uint64_t seed);
  ossl_lib_ctx_st* get() const { return context_; }

  struct stream;

 private:
  std::unique_ptr<stream> stream_;
  ossl_lib_ctx_st* context_ = nullptr;
  ossl_provider_st* standard_ = nullptr;
  ossl_provider_st* seeded_ = nullptr;
};

}  // namespace imago::crypto
