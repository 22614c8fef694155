// Command rtsptest is an RTSP camera for tests: it plays a file of H.264, H.265, MPEG-4, VP8 or VP9 in a loop over RTP
// inside RTSP, at the pace of a camera whether anyone watches or not, and misbehaves on command. It
// prints its URL, then answers each command that it reads from its input with a line; at the end of
// the input it ends.
//
//	play     send normally              stall    keep connections, send nothing
//	slow     a tenth of the rate        garbage  send noise in place of pictures
//	die      close everything           up       listen again, at the same port
//	at       the number of pictures sent so far
//
// It stands in a module of its own: what it needs is not what the product needs.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	file := flag.String("file", "", "Annex-B stream with access unit delimiters, or IVF of VP8 and VP9")
	codec := flag.String("codec", "h264", "h264, h265, mpeg4, vp8 or vp9")
	fps := flag.Float64("fps", 30, "pictures a second")
	user := flag.String("user", "", "ask for this user")
	password := flag.String("password", "", "and this password")
	udp := flag.Bool("udp", false, "refuse to send inside the connection")
	flag.Parse()
	log.SetFlags(0)

	units, err := readUnits(*file, *codec)
	if err != nil {
		log.Fatalf("rtsptest: %v", err)
	}
	c := newCamera(units, *codec, *fps, *user, *password)
	c.udp = *udp
	if err := c.up(); err != nil {
		log.Fatalf("rtsptest: %v", err)
	}
	go c.film()
	fmt.Printf("rtsp://%s/cam\n", c.address)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		fmt.Println(c.obey(commands.Text()))
	}
}
