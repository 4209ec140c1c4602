//go:build !linux

package main

import "os"

func removeCgroups(string) error { return nil }

func removeFolder(folder string, _ bool) error { return os.RemoveAll(folder) }
