// The entry to OpenSSL 3: which library context is used, hence where entropy comes from.
// All crypto of one engine goes through one `library`. Thread-safe. OpenSSL's types stay hidden.
#pragma once

#include <memory>

#include "core/base/random.hpp"

struct ossl_lib_ctx_st;

namespace imago::crypto {

class library final : public random_source {
 public:
  library();                                   // OpenSSL's default library context
  explicit library(ossl_lib_ctx_st* context);  // borrowed; a world injects deterministic entropy
  ~library() override;
  library(const library&) = delete;
  library& operator=(const library&) = delete;

  void fill(std::span<std::uint8_t> out) override;

  // Fetched algorithms, templates for encoded keys; for the files of core/crypto only.
  struct algorithms;
  const algorithms& fetched() const { return *algorithms_; }
  ossl_lib_ctx_st* context() const { return context_; }

 private:
  ossl_lib_ctx_st* context_ = nullptr;
  std::unique_ptr<algorithms> algorithms_;
};

}  // namespace imago::crypto
