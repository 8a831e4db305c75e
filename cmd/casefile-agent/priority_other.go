//go:build !linux

package main

func beNice() {}

func kernelRelease() string { return "" }
