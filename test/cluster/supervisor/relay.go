package main

import (
	"io"
	"net"
)

type relayOrder struct {
	// Listen is the address to listen on, with port 0 for a free one.
	Listen string `json:"listen"`
	// To is the address that each connection is passed on to.
	To string `json:"to"`
}

type relayAnswer struct {
	Address string `json:"address"`
}

// relay passes TCP connections on to an address that only this process's network namespace can reach, until the cluster ends.
func relay(in relayOrder) (relayAnswer, error) {
	listener, err := net.Listen("tcp", in.Listen)
	if err != nil {
		return relayAnswer{}, err
	}
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(from, in.To)
		}
	}()
	return relayAnswer{Address: listener.Addr().String()}, nil
}

func pass(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	copyHalf := func(target, source net.Conn) {
		io.Copy(target, source)
		if half, ok := target.(*net.TCPConn); ok {
			half.CloseWrite()
		}
		done <- struct{}{}
	}
	go copyHalf(to, from)
	go copyHalf(from, to)
	<-done
	<-done
}
