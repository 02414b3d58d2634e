// A provider with one algorithm: a "random" generator of a SplitMix64 stream (provider-rand(7)).
#include "core/crypto/seeded_context.hpp"

#include <cstdlib>
#include <cstring>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

namespace imago::crypto {

struct seeded_context::stream {
  std::uint64_t state = 0;
  unsigned size_left = 0;  // octets of `word` not given yet
  std::uint64_t word = 0;

  std::uint8_t next() {
    if (size_left == 0) {
      state += 0x9e3779b97f4a7c15;
      word = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
      word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
      word ^= word >> 31;
      size_left = 8;
    }
    --size_left;
    auto octet = static_cast<std::uint8_t>(word);
    word >>= 8;
    return octet;
  }
};

namespace {

constexpr const char* generator_name = "IMAGO-SEEDED";

// A built-in provider's init function has no argument of its own.
thread_local seeded_context::stream* stream_being_provided = nullptr;

struct generator {
  seeded_context::stream* from = nullptr;
  int state = EVP_RAND_STATE_UNINITIALISED;
};

void* new_generator(void* provider, void* /*parent*/, const OSSL_DISPATCH* /*parent_calls*/) {
  return new generator{static_cast<seeded_context::stream*>(provider)};
}
void free_generator(void* self) { delete static_cast<generator*>(self); }
int instantiate(void* self, unsigned /*strength*/, int /*resistance*/,
                const unsigned char* /*personal*/, std::size_t /*size*/,
                const OSSL_PARAM* /*params*/) {
  static_cast<generator*>(self)->state = EVP_RAND_STATE_READY;
  return 1;
}
int uninstantiate(void* self) {
  static_cast<generator*>(self)->state = EVP_RAND_STATE_UNINITIALISED;
  return 1;
}
int generate(void* self, unsigned char* out, std::size_t size, unsigned /*strength*/,
             int /*resistance*/, const unsigned char* /*additional*/, std::size_t /*size*/) {
  auto& from = *static_cast<generator*>(self)->from;
  for (std::size_t at = 0; at < size; ++at) out[at] = from.next();
  return 1;
}
int enable_locking(void* /*self*/) { return 1; }

const OSSL_PARAM* gettable(void* /*self*/, void* /*provider*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_int(OSSL_RAND_PARAM_STATE, nullptr),
                                     OSSL_PARAM_uint(OSSL_RAND_PARAM_STRENGTH, nullptr),
                                     OSSL_PARAM_size_t(OSSL_RAND_PARAM_MAX_REQUEST, nullptr),
                                     OSSL_PARAM_END};
  return known;
}
int get_params(void* self, OSSL_PARAM params[]) {
  if (auto* at = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STATE))
    if (OSSL_PARAM_set_int(at, static_cast<generator*>(self)->state) == 0) return 0;
  if (auto* at = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STRENGTH))
    if (OSSL_PARAM_set_uint(at, 256) == 0) return 0;
  if (auto* at = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_MAX_REQUEST))
    if (OSSL_PARAM_set_size_t(at, std::size_t{1} << 16) == 0) return 0;
  return 1;
}

template <class function>
OSSL_DISPATCH entry(int number, function call) {
  return {number, reinterpret_cast<void (*)()>(call)};
}

const OSSL_ALGORITHM* query(void* /*provider*/, int operation, int* no_cache) {
  static const OSSL_DISPATCH calls[] = {entry(OSSL_FUNC_RAND_NEWCTX, &new_generator),
                                        entry(OSSL_FUNC_RAND_FREECTX, &free_generator),
                                        entry(OSSL_FUNC_RAND_INSTANTIATE, &instantiate),
                                        entry(OSSL_FUNC_RAND_UNINSTANTIATE, &uninstantiate),
                                        entry(OSSL_FUNC_RAND_GENERATE, &generate),
                                        entry(OSSL_FUNC_RAND_ENABLE_LOCKING, &enable_locking),
                                        entry(OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS, &gettable),
                                        entry(OSSL_FUNC_RAND_GET_CTX_PARAMS, &get_params),
                                        {0, nullptr}};
  static const OSSL_ALGORITHM algorithms[] = {
      {generator_name, "provider=imago-seeded", calls, "for worlds"},
      {nullptr, nullptr, nullptr, nullptr}};
  *no_cache = 0;
  return operation == OSSL_OP_RAND ? algorithms : nullptr;
}

int init_provider(const OSSL_CORE_HANDLE* /*handle*/, const OSSL_DISPATCH* /*in*/,
                  const OSSL_DISPATCH** out, void** provider) {
  static const OSSL_DISPATCH calls[] = {entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, &query),
                                        {0, nullptr}};
  *out = calls;
  *provider = stream_being_provided;
  return 1;
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

seeded_context::seeded_context(std::uint64_t seed)
    : stream_{std::make_unique<stream>()}, context_{OSSL_LIB_CTX_new()} {
  reseed(seed);
  require(context_ != nullptr);
  require(OSSL_PROVIDER_add_builtin(context_, "imago-seeded", &init_provider) == 1);
  stream_being_provided = stream_.get();
  seeded_ = OSSL_PROVIDER_load(context_, "imago-seeded");
  stream_being_provided = nullptr;
  standard_ = OSSL_PROVIDER_load(context_, "default");
  require(seeded_ && standard_);
  require(RAND_set_seed_source_type(context_, generator_name, nullptr) == 1);
  require(RAND_set_DRBG_type(context_, generator_name, nullptr, nullptr, nullptr) == 1);
}

seeded_context::~seeded_context() {
  OSSL_PROVIDER_unload(standard_);
  OSSL_PROVIDER_unload(seeded_);
  OSSL_LIB_CTX_free(context_);
}

void seeded_context::reseed(std::uint64_t seed) { *stream_ = stream{seed, 0, 0}; }

}  // namespace imago::crypto
