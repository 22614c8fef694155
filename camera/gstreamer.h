// GStreamer as this package uses it. Its libraries are looked for when they are first needed, so that this program
// starts without them and is built without their headers.
#include <stdint.h>

// gst is a pipeline that ends in an appsink of the name frames, and its newest picture.
struct gst {
	void *pipeline, *sink, *bus;
	void *sample;			// the newest picture, until it has been converted or is replaced
	void *caps;			// those that the converter was made for
	void *in, *out, *converter;	// two GstVideoInfo; a GstVideoConverter
	int width, height;		// of the sample
	int rate[2];			// frames a second, a fraction; 0/1: not told
	int told[4];			// colours as the container tells them; written by the decoder's thread
	int full;			// the container says full range where GStreamer does not look
	int unedited;			// the film has no list of edits, by which it could end before its pictures
	int suspects;			// decoders of it that give wrong colours in some formats, a bit for each
	int ahead;			// decoders may work at several pictures at once
	int news;			// an eventfd, counted up for each picture and for the end; closed by the caller
	char *why;			// the first error that a part of the pipeline has told; NULL: none
};

// What vggse_gst_pull gives.
enum { GST_FRAME, GST_NONE, GST_END };

int vggse_gst_there(void);
int vggse_gst_has_element(const char *name);
char *vggse_gst_parse_error(const char *text);
char *vggse_gst_open(struct gst *g, const char *text);
int vggse_gst_pull(struct gst *g);
int vggse_gst_convert(struct gst *g, void *pixels);
int vggse_gst_legible(struct gst *g);
unsigned long long vggse_gst_time(struct gst *g);
void vggse_gst_close(struct gst *g);
