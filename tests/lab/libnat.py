"""A wire with a masquerading router in it: one of the two is behind NAT, with ports that change."""

from libpeers import INSIDE, NETWORK, WIRE, Lab, other, run, wait_until

PRIVATE = {"own": "192.168.7.2", "router": "192.168.7.1"}
PORTS = "20000-20100"  # so that no port stays what it was


class NatLab(Lab):
    """`hidden` has a private address; the other sees the router, at the address it knows for `hidden`."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden, self.router = hidden, f"{self.tag}-router"
        seen = other(hidden)
        run("ip", "-n", self.namespace(hidden), "link", "delete", "eth0")
        run("ip", "netns", "add", self.router)
        for inner, name in (("in", hidden), ("out", seen)):
            run("ip", "link", "add", "eth0", "netns", self.namespace(name), "type", "veth", "peer", "name", inner,
                "netns", self.router)
        for device, address in (("in", PRIVATE["router"]), ("out", WIRE[4][hidden])):
            run("ip", "-n", self.router, "address", "add", f"{address}/24", "dev", device)
            run("ip", "-n", self.router, "link", "set", device, "up")
        self.connect(hidden, PRIVATE["own"], PRIVATE["router"])
        self.connect(seen, WIRE[4][seen], WIRE[4][hidden])
        run("ip", "-n", self.namespace(hidden), "route", "add", "default", "via", PRIVATE["router"])
        inside = ("ip", "netns", "exec", self.router)
        run(*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for protocol, ports in (("udp", ("--to-ports", PORTS)), ("icmp", ())):
            run(*inside, "iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-o", "out", "-p", protocol,
                "-j", "MASQUERADE", *ports)
        for name in (hidden, seen):
            wait_until(lambda: self.is_settled(name), f"eth0 of {name} has its routes")  # noqa: B023

    def connect(self, name, address, router):
        ip = ("ip", "-n", self.namespace(name))
        run(*ip, "address", "add", f"{address}/24", "dev", "eth0")
        run(*ip, "link", "set", "eth0", "up")
        run(*ip, "route", "replace", NETWORK[4][other(name)], "via", router, "src", INSIDE[4][name])

    def remove(self):
        endings = super().remove()
        run("ip", "netns", "delete", self.router, is_checked=False)
        return endings
