// Larval SAs: the SPIs that are ours before there are keys.
#include <cerrno>

#include "kernel_if/xfrm/driver.hpp"
#include "kernel_if/xfrm/errors.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

installed_sa larval_record(const ip_address& local, spi number, const ip_address& remote) {
  installed_sa larval;
  larval.id = {direction::inbound, local, number};
  larval.key = {local, number, {}};
  larval.source = remote;
  larval.is_larval = true;
  return larval;
}

}  // namespace

void driver::carry_out(const job_ptr& one, allocate_spi& request) {
  if (request.local.family() != request.remote.family())
    return finish(one, error{errc::bad_value, "SPI between two address families"});
  bool is_named = request.spi != 0;
  sa_id named{direction::inbound, request.local, request.spi};
  if (is_named && request.spi < options_.spi_least)
    return finish(one, error{errc::bad_value, text_of(named)});
  if (is_named && sas_.find(named)) return finish(one, error{errc::already_exists, text_of(named)});
  if (is_named) note(larval_record(request.local, request.spi, request.remote));
  pipeline_.ask(encode_allocate_spi(request.local, request.remote,
                                    is_named ? request.spi : options_.spi_least,
                                    is_named ? request.spi : options_.spi_most, 0),
                answer_kind::larval, [this, one, named](answer& said) {
                  // The kernel's word for an SPI that is taken; by ourselves, if we asked twice.
                  if (said.code == ENOENT && named.spi != 0) {
                    if (said.was_repeated) return look_for_larval(one);
                    note_end(sa_key{named.destination, named.spi, {}});
                    return finish(one, error{errc::already_exists, text_of(named)});
                  }
                  finish_allocation(one, said);
                });
}

void driver::finish_allocation(const job_ptr& one, const answer& said) {
  const auto& request = std::get<allocate_spi>(one->request);
  const auto* image = said.object ? std::get_if<sa_image>(&*said.object) : nullptr;
  if (said.code != 0 || !image) {
    if (request.spi != 0) note_end(sa_key{request.local, request.spi, {}});
    return finish(one, error_of("SPI", said));
  }
  auto larval = larval_record(request.local, image->key.spi, request.remote);
  note(larval);
  sas_.add(std::move(larval));
  finish(one, reply{spi_allocated{image->key.spi}});
}

void driver::look_for_larval(const job_ptr& one) {
  const auto& request = std::get<allocate_spi>(one->request);
  pipeline_.ask(encode_get_sa({request.local, request.spi, {}}, 0), answer_kind::object,
                [this, one](answer& shown) {
                  const auto& asked = std::get<allocate_spi>(one->request);
                  auto* image = shown.object ? std::get_if<sa_image>(&*shown.object) : nullptr;
                  if (image && !image->has_keys && image->source == asked.remote)
                    return finish_allocation(one, shown);
                  sa_id id{direction::inbound, asked.local, asked.spi};
                  note_end(sa_key{asked.local, asked.spi, {}});
                  finish(one, error{errc::already_exists, text_of(id)});
                });
}

}  // namespace imago::kernel_if::xfrm
