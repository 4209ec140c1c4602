package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// removeCgroups removes the cluster's cgroups of every hierarchy; a cgroup of a process that has just ended is busy for a moment.
func removeCgroups(name string) error {
	if name == "" {
		return nil
	}
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	roots = append(roots, "/sys/fs/cgroup/"+name)
	var last error
	for _, root := range roots {
		for range 400 {
			if last = removeCgroup(root); last == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if last != nil {
			return last
		}
	}
	return nil
}

func removeCgroup(root string) error {
	var folders []string
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return nil
	})
	slices.Reverse(folders)
	for _, folder := range folders {
		if err := syscall.Rmdir(folder); err != nil && err != syscall.ENOENT {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	return nil
}

// removeFolder unmounts what is mounted below the folder, then removes it; with a mount left it removes nothing, as that may show the host's files.
func removeFolder(folder string, namespaced bool) error {
	if namespaced {
		for range 3 {
			for _, point := range mountsBelow(folder) {
				syscall.Unmount(point, syscall.MNT_DETACH)
			}
		}
	}
	if left := mountsBelow(folder); len(left) > 0 {
		return fmt.Errorf("still mounted: %s", strings.Join(left, " "))
	}
	return os.RemoveAll(folder)
}

// mountsBelow lists mount points below the folder, the deepest first.
func mountsBelow(folder string) []string {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return []string{"unknown: " + err.Error()}
	}
	defer file.Close()
	var points []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], folder+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	return points
}
