#!/usr/bin/env python3
"""Known answers for core/ikev2/keys.cpp, computed with Python's hmac alone, from RFC 7296's text.

Writes the rows of tests/core/ikev2_key_vectors.hpp:
    python3 tests/support/make_ikev2_key_vectors.py > tests/core/ikev2_key_vectors.hpp
"""
import hashlib
import hmac

# name: (enumerator, key bits in the proposal, key octets with salt)
ENCRYPTION = {
    "AES_CBC-128": ("aes_cbc", 128, 16),
    "AES_CBC-192": ("aes_cbc", 192, 24),
    "AES_CBC-256": ("aes_cbc", 256, 32),
    "AES_GCM_16-128": ("aes_gcm_16", 128, 20),
    "AES_GCM_16-256": ("aes_gcm_16", 256, 36),
    "CHACHA20_POLY1305": ("chacha20_poly1305", 0, 36),
}
INTEGRITY = {"none": 0, "hmac_sha2_256_128": 32, "hmac_sha2_384_192": 48, "hmac_sha2_512_256": 64}
PRF = {"hmac_sha2_256": "sha256", "hmac_sha2_384": "sha384", "hmac_sha2_512": "sha512"}
SPI_I, SPI_R = 0x0102030405060708, 0xF1F2F3F4F5F6F7F8


def pattern(start, size):
    """The test's pattern(): the same octets on both sides."""
    return bytes((start + 7 * i) % 256 for i in range(size))


def prf(name, key, data):
    return hmac.new(key, data, PRF[name]).digest()


def prf_plus(name, key, seed, size):
    """RFC 7296 section 2.13."""
    out, block, counter = b"", b"", 1
    while len(out) < size:
        block = prf(name, key, block + seed + bytes([counter]))
        out += block
        counter += 1
    return out[:size]


def cut(stream, *sizes):
    parts = []
    for size in sizes:
        parts.append(stream[:size])
        stream = stream[size:]
    return parts


def row(*fields):
    print("    {" + ",\n     ".join(fields) + "},")


def quoted(octets):
    return '"' + octets.hex() + '"'


def ike_row(encryption, integrity, prf_name, old_prf, secret_size, ni_size, nr_size):
    """Section 2.14, or 2.18 where `old_prf` names the PRF of the SA being rekeyed."""
    enum, bits, encryption_size = ENCRYPTION[encryption]
    shared, ni, nr = pattern(1, secret_size), pattern(2, ni_size), pattern(3, nr_size)
    if old_prf == "none":
        skeyseed = prf(prf_name, ni + nr, shared)
    else:
        skeyseed = prf(old_prf, pattern(4, hashlib.new(PRF[old_prf]).digest_size), shared + ni + nr)
    prf_size = hashlib.new(PRF[prf_name]).digest_size
    sizes = [prf_size] + 2 * [INTEGRITY[integrity]] + 2 * [encryption_size] + 2 * [prf_size]
    seed = ni + nr + SPI_I.to_bytes(8, "big") + SPI_R.to_bytes(8, "big")
    keys = cut(prf_plus(prf_name, skeyseed, seed, sum(sizes)), *sizes)
    row(
        f"encryption_algorithm::{enum}, {bits}, integrity_algorithm::{integrity}",
        f"prf_algorithm::{prf_name}, prf_algorithm::{old_prf}",
        f"{secret_size}, {ni_size}, {nr_size}",
        *(quoted(key) for key in keys),
    )


def child_row(encryption, integrity, prf_name, secret_size, ni_size, nr_size):
    """Section 2.17; `secret_size` 0: no PFS."""
    enum, bits, encryption_size = ENCRYPTION[encryption]
    sk_d = pattern(5, hashlib.new(PRF[prf_name]).digest_size)
    seed = pattern(1, secret_size) + pattern(2, ni_size) + pattern(3, nr_size)
    sizes = 2 * [encryption_size, INTEGRITY[integrity]]
    keys = cut(prf_plus(prf_name, sk_d, seed, sum(sizes)), *sizes)
    row(
        f"encryption_algorithm::{enum}, {bits}, integrity_algorithm::{integrity}",
        f"prf_algorithm::{prf_name}",
        f"{secret_size}, {ni_size}, {nr_size}",
        *(quoted(key) for key in keys),
    )


def main():
    print("// Written by tests/support/make_ikev2_key_vectors.py. Not to be edited.")
    print("#pragma once\n")
    print('#include "core/base/iana.hpp"\n')
    print("namespace imago {\n")
    print("// clang-format off")
    print("struct ike_key_vector {")
    print("  encryption_algorithm encryption; std::uint16_t key_bits; integrity_algorithm integrity;")
    print("  prf_algorithm prf, old_prf;  // old_prf none: not a rekeying")
    print("  std::size_t shared_secret_size, initiator_nonce_size, responder_nonce_size;")
    print("  const char *sk_d, *sk_ai, *sk_ar, *sk_ei, *sk_er, *sk_pi, *sk_pr;")
    print("};")
    print("inline const ike_key_vector ike_key_vectors[] = {")
    ike_row("AES_CBC-128", "hmac_sha2_256_128", "hmac_sha2_256", "none", 256, 16, 16)
    ike_row("AES_CBC-192", "hmac_sha2_384_192", "hmac_sha2_384", "none", 48, 32, 24)
    ike_row("AES_CBC-256", "hmac_sha2_512_256", "hmac_sha2_512", "none", 66, 256, 256)
    ike_row("AES_GCM_16-128", "none", "hmac_sha2_256", "none", 32, 32, 32)
    ike_row("AES_GCM_16-256", "none", "hmac_sha2_384", "none", 48, 32, 32)
    ike_row("CHACHA20_POLY1305", "none", "hmac_sha2_256", "none", 32, 32, 32)
    ike_row("AES_GCM_16-128", "none", "hmac_sha2_256", "hmac_sha2_256", 32, 32, 32)
    ike_row("AES_CBC-256", "hmac_sha2_256_128", "hmac_sha2_512", "hmac_sha2_256", 32, 32, 40)
    ike_row("CHACHA20_POLY1305", "none", "hmac_sha2_256", "hmac_sha2_512", 66, 16, 32)
    print("};\n")
    print("struct child_key_vector {")
    print("  encryption_algorithm encryption; std::uint16_t key_bits; integrity_algorithm integrity;")
    print("  prf_algorithm prf;")
    print("  std::size_t shared_secret_size, initiator_nonce_size, responder_nonce_size;")
    print("  const char *initiator_encryption, *initiator_integrity;")
    print("  const char *responder_encryption, *responder_integrity;")
    print("};")
    print("inline const child_key_vector child_key_vectors[] = {")
    child_row("AES_CBC-128", "hmac_sha2_256_128", "hmac_sha2_256", 0, 16, 16)
    child_row("AES_CBC-256", "hmac_sha2_512_256", "hmac_sha2_512", 66, 32, 32)
    child_row("AES_GCM_16-128", "none", "hmac_sha2_256", 0, 32, 32)
    child_row("AES_GCM_16-256", "none", "hmac_sha2_384", 48, 32, 24)
    child_row("CHACHA20_POLY1305", "none", "hmac_sha2_256", 32, 32, 32)
    print("};")
    print("// clang-format on\n")
    print("}  // namespace imago")


if __name__ == "__main__":
    main()
