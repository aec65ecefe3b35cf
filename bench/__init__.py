"""The benchmark: redisproxy beside Redis without a proxy, HAProxy and twemproxy, in one interleaved run."""
