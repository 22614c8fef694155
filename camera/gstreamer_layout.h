// What camera/gstreamer.c knows of GStreamer's structures and numbers without its headers; they stay within 1.x.
// cross/layout.c holds each against the headers, for each architecture of a release.
#include <stddef.h>

enum { state_null = 1, state_playing = 4, change_failure = 0 };
enum { message_error = 1 << 1 };
enum { map_read = 1, map_write = 2, g_type_string = 16 << 2 };
enum { probe_event_downstream = 1 << 6, probe_ok = 1 };
enum { parse_fatal_errors = 1, range_full = 1, matrix_rgb = 1 };

typedef struct { unsigned domain; int code; char *message; } error; // GError
typedef size_t offsets[4];
typedef int strides[4];

// colours are the parts of a GstVideoColorimetry: range, matrix, transfer, primaries; 0: not told.
typedef int colours[4];

// callbacks are GstAppSinkCallbacks, with room for what later versions add; flow 0 is GST_FLOW_OK.
typedef struct {
	void (*eos)(void *sink, void *g);
	int (*new_preroll)(void *sink, void *g), (*new_sample)(void *sink, void *g);
	void *later[8];
} callbacks;

// probed are the first members of GstPadProbeInfo.
typedef struct { int type; unsigned long id; void *data; } probed;

// What a GstSegment begins with.
struct segment {
	int flags;
	double rate, applied_rate;
	int format;
	unsigned long long base, offset, start, stop;
};

// frame has room for a GstVideoFrame, which takes 700 bytes in GStreamer 1.22.
typedef struct { char bytes[4096]; } __attribute__((aligned(16))) frame;

// What a GstBuffer begins with: there is no function that gives its time.
struct buffer {
	struct {
		size_t type;
		int refcount, lockstate;
		unsigned flags;
		void *copy, *dispose, *free;
		unsigned priv_uint;
		void *priv_pointer;
	} mini_object;
	void *pool;
	unsigned long long pts; // nanoseconds; all bits set: none
};
