"""Who may include whom. The rooms' order is law: core <- kernel_if <- actors <- what stands on them."""

# folder: folders of ours that it may include, beside itself
ROOMS = {
    "core/base": [],
    "core/wire": ["core/base"],
    "core/crypto": ["core/base", "core/wire"],
    "core/data_plane": ["core/base"],
    "core/vici": ["core/base"],
    "core/config": ["core/base", "core/wire", "core/crypto", "core/data_plane", "core/vici"],
    "core/ikev2": ["core/base", "core/wire", "core/crypto", "core/data_plane", "core/config"],
    "kernel_if": ["core/base", "core/data_plane"],
    "actors": ["core", "kernel_if"],
    "world": ["core", "kernel_if", "actors"],
    "daemon": ["core", "kernel_if", "actors"],
    "tools": ["core", "kernel_if", "actors", "world"],
    "python": ["core", "kernel_if", "actors", "world"],
    "examples": ["core", "kernel_if", "actors"],
    "bench": ["core", "kernel_if", "actors", "world", "tests/support"],
    "tests/core": ["core", "tests/support"],
    "tests/kernel_if": ["core", "kernel_if", "tests/support"],
    "tests/daemon": ["core/base", "daemon", "tests/support"],
    "tests/fuzz": ["core", "kernel_if", "actors", "world", "tests"],
    "tests": ["core", "kernel_if", "actors", "world", "tests", "examples"],
}

# outside header prefix: the folders that may see it
OUTSIDE = {
    "caf/": ["actors", "world", "bench", "python", "daemon", "tests/actors", "tests/exchanges",
             "tests/world", "tests/fuzz", "tests/support", "tests/scripts"],
    "libmnl/": ["kernel_if/xfrm", "kernel_if/route", "kernel_if/udp"],
    "openssl/": ["core/crypto", "kernel_if/user_esp", "kernel_if/ktls", "kernel_if/quic", "tests",
                 "bench"],
    "seccomp.h": ["daemon"],
    "CLI/": ["daemon", "tools", "bench"],
    "nlohmann/": ["actors", "daemon", "tools", "bench", "world", "tests"],
    "doctest/": ["tests"],
}

# core is a function of its inputs: no sockets, no threads, no clock, no console.
CORE_FORBIDDEN = {
    "sys/socket.h": "sockets live in kernel_if/udp",
    "netinet/": "sockets live in kernel_if/udp",
    "sys/epoll.h": "sockets live in kernel_if/udp",
    "poll.h": "sockets live in kernel_if/udp",
    "netdb.h": "names are resolved by the engine's blocking pool",
    "thread": "threads live in actors",
    "mutex": "core has no threads; ownership excludes others",
    "shared_mutex": "core has no threads; ownership excludes others",
    "condition_variable": "core has no threads",
    "future": "core has no threads; co_await offload(job)",
    "iostream": "core does not print; return a value or an error",
    "cstdio": "core does not print; format with fmt",
    "stdio.h": "core does not print; format with fmt",
    "syslog.h": "core does not log; facts are values",
}

# Its jobs run on the pool's threads and share caches of parsed keys and certificates.
CORE_ALLOWED = {("core/crypto", "mutex"), ("core/crypto", "shared_mutex")}

# What programs that embed the engine include; reached headers are installed and may show no CAF.
PUBLIC_HEADERS = ["actors/engine.hpp", "kernel_if/backend.hpp", "kernel_if/fake/fake_backend.hpp",
                  "kernel_if/user_esp/backend.hpp"]
PUBLIC_FORBIDDEN = ("caf/", "libmnl/", "CLI/", "nlohmann/", "doctest/")


def room_of(path):
    """The longest room that holds the path, or None."""
    held = [room for room in ROOMS if path.startswith(room + "/")]
    return max(held, key=len) if held else None


def is_within(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def check_own_include(tree, file, room, line, name):
    if name.startswith("../") or not tree.exists(name):
        yield file.path, line, (f'"{name}" is not a path from the root of the repository; '
                                'write it as "core/base/bytes.hpp"')
        return
    if not name.endswith(".hpp"):
        yield file.path, line, f'"{name}" is not a header; include the .hpp'
    if room and not is_within(name, ROOMS[room] + [room]):
        allowed = ", ".join(ROOMS[room]) or "nothing else"
        yield file.path, line, (f'{room} may not include "{name}": it sees itself and {allowed}; '
                                "hand the value in, or move the code up")


def check_outside_include(file, line, name):
    for prefix, folders in OUTSIDE.items():
        if name.startswith(prefix) and not is_within(file.path, folders):
            yield file.path, line, (f"<{name}> is seen only by {', '.join(folders)}; "
                                    "use the interface those folders give")
    if not file.path.startswith("core/"):
        return
    for header, instead in CORE_FORBIDDEN.items():
        if any(is_within(file.path, [room]) and name == allowed for room, allowed in CORE_ALLOWED):
            return
        if name == header or (header.endswith("/") and name.startswith(header)):
            yield file.path, line, f"core may not include <{name}>: {instead}"


def check_walls(tree):
    for file in tree.cpp():
        room = room_of(file.path)
        for line, name, rooted in file.includes():
            if rooted and not name.startswith(tuple(OUTSIDE)):
                yield from check_own_include(tree, file, room, line, name)
            else:
                yield from check_outside_include(file, line, name)


def reached_headers(tree, header):
    """Headers reached from `header` with the way to each, itself first."""
    ways = {header: [header]}
    queue = [header]
    while queue:
        path = queue.pop(0)
        for _, name, rooted in tree.files[path].includes():
            if rooted and name in tree.files and name not in ways:
                ways[name] = ways[path] + [name]
                queue.append(name)
    return ways


def check_public_headers(tree):
    for header in PUBLIC_HEADERS:
        if header not in tree.files:
            continue
        for path, way in reached_headers(tree, header).items():
            for line, name, _ in tree.files[path].includes():
                if name.startswith(PUBLIC_FORBIDDEN):
                    yield path, line, (f"<{name}> reaches the public header by {' -> '.join(way)}; "
                                       "forward-declare, or hide it behind a pointer to an implementation")
