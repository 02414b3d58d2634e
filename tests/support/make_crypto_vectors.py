#!/usr/bin/env python3
"""Writes tests/core/crypto_vectors.hpp: answers computed here with Python's integers and hmac
module, that is without OpenSSL's key exchange code and without ours. The primes of RFC 3526 are
made from their published formula 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + k)."""
import hashlib
import hmac
import pathlib


def floor_of_pi(bits):
    """floor(2^bits * pi), by Machin's formula with guard bits."""
    one = 1 << (bits + 64)

    def arctan_inverse(x):
        power = one // x
        total, n, sign = power, 1, 1
        while power:
            power //= x * x
            n += 2
            sign = -sign
            total += sign * (power // n)
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> 64


def prime(bits, k):
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (floor_of_pi(bits - 130) + k)


def private_value(seed, size):
    return int.from_bytes(hashlib.shake_256(seed).digest(size), "big")


def modp(name, bits, k):
    p = prime(bits, k)
    x, y = private_value(b"initiator", 40), private_value(b"responder", 40)
    octets = lambda number: number.to_bytes(bits // 8, "big").hex()
    yield f"    {{ke_method::{name},"
    yield f'     "{x:080x}", "{y:080x}",'
    for number in (p, pow(2, x, p), pow(2, y, p)):
        yield f'     "{octets(number)}",'
    yield f'     "{octets(pow(2, x * y, p))}"}},'


def prf_plus(name, key, seed, size):
    out, block, n = b"", b"", 0
    while len(out) < size:
        n += 1
        block = hmac.new(key, block + seed + bytes([n]), name).digest()
        out += block
    return out[:size]


def kdf(prf, name):
    size = hashlib.new(name).digest_size
    for key_size in (0, 1, size, 200):
        key = bytes(range(key_size))
        for out_size in (size, 3 * size + 5):
            yield (f'    {{prf_algorithm::{prf}, {key_size}, "'
                   f'{prf_plus(name, key, b"seed", out_size).hex()}"}},')


def main():
    lines = ["// Written by tests/support/make_crypto_vectors.py. Not to be edited.",
             "#pragma once", "", '#include "core/base/iana.hpp"', "", "namespace imago {", "",
             "// clang-format off", "struct modp_vector {", "  ke_method method;",
             "  const char *x, *y, *prime, *public_x, *public_y, *shared;", "};",
             "inline const modp_vector modp_vectors[] = {"]
    for name, bits, k in (("modp_2048", 2048, 124476), ("modp_3072", 3072, 1690314),
                          ("modp_4096", 4096, 240904)):
        lines += modp(name, bits, k)
    lines += ["};", "// prf+ of the key 00 01 02 ... of that size and the seed \"seed\".",
              "struct prf_plus_vector {", "  prf_algorithm prf;", "  std::size_t key_size;",
              "  const char* output;", "};", "inline const prf_plus_vector prf_plus_vectors[] = {"]
    for prf, name in (("hmac_sha2_256", "sha256"), ("hmac_sha2_384", "sha384"),
                      ("hmac_sha2_512", "sha512")):
        lines += kdf(prf, name)
    lines += ["};", "// clang-format on", "", "}  // namespace imago", ""]
    here = pathlib.Path(__file__).resolve().parent
    (here.parent / "core" / "crypto_vectors.hpp").write_text("\n".join(lines))


main()
