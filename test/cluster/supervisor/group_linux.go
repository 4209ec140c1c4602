package main

import "syscall"

// ownGroup gives a child a process group of its own; the kernel kills it when this process dies before it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
