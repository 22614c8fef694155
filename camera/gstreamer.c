//go:build gocv

#define _GNU_SOURCE
#include "gstreamer.h"
#include "gstreamer_layout.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

// The functions of GStreamer and GLib, by their names.
#define FUNCTIONS(F)                                                                                        \
	F(int, gst_init_check, (int *, char ***, error **))                                                  \
	F(void *, gst_element_factory_find, (const char *))                                                  \
	F(void *, gst_parse_launch_full, (const char *, void *, int, error **))                              \
	F(void *, gst_bin_get_by_name, (void *, const char *))                                               \
	F(int, gst_element_set_state, (void *, int))                                                         \
	F(void *, gst_element_get_bus, (void *))                                                             \
	F(void *, gst_bus_pop_filtered, (void *, int))                                                       \
	F(void, gst_message_parse_error, (void *, error **, char **))                                        \
	F(void, gst_object_unref, (void *))                                                                  \
	F(char *, gst_object_get_name, (void *))                                                             \
	F(void, gst_mini_object_unref, (void *))                                                             \
	F(void *, gst_mini_object_ref, (void *))                                                             \
	F(void *, gst_sample_get_buffer, (void *))                                                           \
	F(void *, gst_sample_get_caps, (void *))                                                             \
	F(int, gst_caps_is_equal, (void *, void *))                                                          \
	F(void *, gst_caps_get_structure, (void *, unsigned))                                                \
	F(int, gst_structure_get_int, (void *, const char *, int *))                                         \
	F(int, gst_structure_get_fraction, (void *, const char *, int *, int *))                             \
	F(const char *, gst_structure_get_string, (void *, const char *))                                    \
	F(void *, gst_element_get_static_pad, (void *, const char *))                                        \
	F(unsigned long, gst_pad_add_probe, (void *, int, void *, void *, void *))                           \
	F(int, gst_event_has_name, (void *, const char *))                                                   \
	F(void, gst_event_parse_caps, (void *, void **))                                                     \
	F(void, gst_event_parse_segment, (void *, const void **))                                            \
	F(void *, gst_segment_copy, (const void *))                                                          \
	F(void, gst_segment_free, (void *))                                                                  \
	F(void *, gst_event_new_segment, (const void *))                                                     \
	F(void *, gst_event_new_caps, (void *))                                                              \
	F(void *, gst_buffer_new_wrapped_full, (int, void *, size_t, size_t, size_t, void *, void *))        \
	F(void *, gst_app_sink_try_pull_sample, (void *, uint64_t))                                          \
	F(void, gst_app_sink_set_callbacks, (void *, callbacks *, void *, void *))                           \
	F(int, gst_app_sink_is_eos, (void *))                                                                \
	F(int, gst_video_format_from_string, (const char *))                                                 \
	F(void *, gst_video_info_new, (void))                                                                \
	F(void, gst_video_info_free, (void *))                                                               \
	F(int, gst_video_info_from_caps, (void *, void *))                                                   \
	F(void *, gst_video_info_to_caps, (void *))                                                          \
	F(int, gst_video_colorimetry_from_string, (colours, const char *))                                   \
	F(char *, gst_video_colorimetry_to_string, (const colours))                                          \
	F(void *, gst_caps_copy, (void *))                                                                   \
	F(void, gst_caps_set_simple, (void *, const char *, ...))                                            \
	F(void, gst_structure_remove_field, (void *, const char *))                                          \
	F(int, gst_video_frame_map, (void *, void *, void *, int))                                           \
	F(void, gst_video_frame_unmap, (void *))                                                             \
	F(void *, gst_video_converter_new, (void *, void *, void *))                                         \
	F(void, gst_video_converter_frame, (void *, void *, void *))                                         \
	F(void, gst_video_converter_free, (void *))                                                          \
	F(void *, gst_buffer_add_video_meta_full, (void *, int, int, unsigned, unsigned, unsigned, offsets, strides)) \
	F(void *, g_object_class_find_property, (void *, const char *))                                      \
	F(unsigned long, g_signal_connect_data, (void *, const char *, void *, void *, void *, int))         \
	F(void, gst_util_set_object_arg, (void *, const char *, const char *))                               \
	F(void, g_error_free, (error *))                                                                     \
	F(void, g_free, (void *))

static struct {
#define DECLARE(result, name, arguments) result(*name) arguments;
	FUNCTIONS(DECLARE)
} call;

// vggse_gst_there is whether GStreamer can be called.
int vggse_gst_there(void)
{
	static int there = -1; // the caller calls it from one thread at a time
	if (there >= 0)
		return there;
	void *app = dlopen("libgstapp-1.0.so.0", RTLD_LAZY), *video = dlopen("libgstvideo-1.0.so.0", RTLD_LAZY);
	there = app && video;
#define FIND(result, name, arguments)                                                            \
	if (there && !(*(void **)&call.name = dlsym(app, #name)) && !(*(void **)&call.name = dlsym(video, #name))) \
		there = 0;
	FUNCTIONS(FIND)
	return there = there && call.gst_init_check(NULL, NULL, NULL);
}

// vggse_gst_has_element is 1 where GStreamer has an element of this name, 0 where it has none.
int vggse_gst_has_element(const char *name)
{
	void *factory = call.gst_element_factory_find(name);
	if (factory)
		call.gst_object_unref(factory);
	return factory != NULL;
}

static char *word(error *e)
{
	char *text = strdup(e ? e->message : "it says no reason");
	if (e)
		call.g_error_free(e);
	return text;
}

// vggse_gst_parse_error is what GStreamer says against a pipeline, to be freed; NULL where it says nothing.
char *vggse_gst_parse_error(const char *text)
{
	error *e = NULL;
	void *pipeline = call.gst_parse_launch_full(text, NULL, parse_fatal_errors, &e);
	if (pipeline)
		call.gst_object_unref(pipeline);
	return e ? word(e) : NULL;
}

// colours_of are those that caps tell.
static void colours_of(void *caps, colours c)
{
	const char *text = call.gst_structure_get_string(call.gst_caps_get_structure(caps, 0), "colorimetry");
	if (!text || !call.gst_video_colorimetry_from_string(c, text))
		memset(c, 0, sizeof(colours));
}

// fill gives the parts of c that are not told those of other.
static void fill(colours c, const colours other)
{
	for (int i = 0; i < 4; i++)
		c[i] = c[i] ? c[i] : other[i];
}

// endless takes the end from a segment: of a film without an edit list it is the sum of the pictures' durations, and
// cuts off the last ones where the first is shown later than at 0.
static void endless(probed *info)
{
	const void *told = NULL;
	call.gst_event_parse_segment(info->data, &told);
	struct segment *s = told ? call.gst_segment_copy(told) : NULL;
	if (!s)
		return;
	s->stop = ~0ull;
	call.gst_mini_object_unref(info->data);
	info->data = call.gst_event_new_segment(s);
	call.gst_segment_free(s);
}

// codec_first keeps the colours that a container or parser tells from a decoder, which else would not ask the codec:
// a container may not know, and says limited range then (QuickTime's nclc).
static int codec_first(void *pad, probed *info, struct gst *g)
{
	(void)pad;
	void *caps = NULL;
	colours told;
	if (g->unedited && call.gst_event_has_name(info->data, "GstEventSegment"))
		endless(info);
	if (!call.gst_event_has_name(info->data, "GstEventCaps"))
		return probe_ok;
	call.gst_event_parse_caps(info->data, &caps);
	colours_of(caps, told);
	for (int i = 0; i < 4; i++)
		__atomic_store_n(&g->told[i], told[i], __ATOMIC_RELAXED); // this is the decoder's thread
	caps = call.gst_caps_copy(caps);
	call.gst_structure_remove_field(call.gst_caps_get_structure(caps, 0), "colorimetry");
	call.gst_mini_object_unref(info->data);
	info->data = call.gst_event_new_caps(caps);
	call.gst_mini_object_unref(caps);
	return probe_ok;
}

// wrong are the decoders of GStreamer 1.22 that give others than the colours of a film, by what their names hold, and
// the formats, or their beginnings, in which they do: that of libvpx writes green, blue and red in the places of red,
// green and blue; those of JPEG 2000 take whatever is not marked for RGB, and a palette's numbers for grey.
static const struct { const char *decoder, *format; } wrong[] = {
	{"vp9dec", "GBR"}, {"pngdec", "ARGB64"}, {"jpeg2000", "RGB"}, {"jpeg2000", "GRAY8"}};
enum { wrongs = sizeof wrong / sizeof *wrong };

// suspects are those that a text names, a bit for each.
static int suspects(const char *text)
{
	int found = 0;
	for (int i = 0; i < wrongs; i++)
		found |= (strstr(text, wrong[i].decoder) != NULL) << i;
	return found;
}

// miscoloured is a decoder of the pipeline that gives pictures of this format in others than their colours; NULL: none.
static const char *miscoloured(struct gst *g, const char *format)
{
	int found = __atomic_load_n(&g->suspects, __ATOMIC_RELAXED);
	for (int i = 0; i < wrongs; i++)
		if (found >> i & 1 && !strncmp(format, wrong[i].format, strlen(wrong[i].format)))
			return wrong[i].decoder;
	return NULL;
}

// added sees each element that a film needs. Decoders of FFmpeg tell the colours of their codec; those that are not to
// work ahead decode one picture after the other: each thread that decodes one of its own has all the memory of a
// decoder.
static void added(void *bin, void *sub_bin, void *element, struct gst *g)
{
	(void)bin, (void)sub_bin;
	char *name = call.gst_object_get_name(element);
	if (name)
		__atomic_fetch_or(&g->suspects, suspects(name), __ATOMIC_RELAXED); // this may be another thread
	call.g_free(name);
	void *class = *(void **)element; // of each GObject, the first member
	if (!call.g_object_class_find_property(class, "skip-frame"))
		return;
	void *pad = call.gst_element_get_static_pad(element, "sink");
	if (pad) {
		call.gst_pad_add_probe(pad, probe_event_downstream, codec_first, g, NULL);
		call.gst_object_unref(pad);
	}
	if (g->ahead)
		return;
	if (call.g_object_class_find_property(class, "thread-type")) // GStreamer 1.20
		call.gst_util_set_object_arg(element, "thread-type", "slice");
	else if (call.g_object_class_find_property(class, "max-threads"))
		call.gst_util_set_object_arg(element, "max-threads", "1");
}

// ended and sampled, which the thread of the appsink calls, wake who waits for news.
static void ended(void *sink, void *g)
{
	(void)sink;
	eventfd_write(((struct gst *)g)->news, 1);
}

static int sampled(void *sink, void *g)
{
	ended(sink, g);
	return 0;
}

// vggse_gst_open starts a pipeline; g is zero but for ahead, full and unedited. It returns why not, to be freed, or NULL;
// vggse_gst_close is due in both cases.
char *vggse_gst_open(struct gst *g, const char *text)
{
	error *e = NULL;
	g->suspects = suspects(text);
	g->pipeline = call.gst_parse_launch_full(text, NULL, parse_fatal_errors, &e);
	if (e || !g->pipeline)
		return word(e);
	g->sink = call.gst_bin_get_by_name(g->pipeline, "frames");
	g->bus = call.gst_element_get_bus(g->pipeline);
	g->in = call.gst_video_info_new();
	g->out = call.gst_video_info_new();
	if (!g->sink || !g->bus)
		return strdup("the pipeline does not end in an appsink named frames");
	if ((g->news = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		return strdup("too many files are open");
	callbacks call_back = {.eos = ended, .new_sample = sampled};
	call.gst_app_sink_set_callbacks(g->sink, &call_back, g, NULL);
	call.g_signal_connect_data(g->pipeline, "deep-element-added", added, g, NULL, 0);
	if (call.gst_element_set_state(g->pipeline, state_playing) != change_failure)
		return NULL;
	vggse_gst_pull(g); // takes the reason
	return strdup(g->why ? g->why : "it does not start");
}

// heard takes what the parts of the pipeline have told; it is whether one of them has failed.
static int heard(struct gst *g)
{
	for (void *m; (m = call.gst_bus_pop_filtered(g->bus, message_error));) {
		error *e = NULL;
		call.gst_message_parse_error(m, &e, NULL);
		char *text = word(e);
		if (g->why)
			free(text);
		else
			g->why = text;
		call.gst_mini_object_unref(m);
	}
	return g->why != NULL;
}

static void drop(struct gst *g)
{
	if (g->sample)
		call.gst_mini_object_unref(g->sample);
	g->sample = NULL;
}

// unfit forgets what the pictures before looked like.
static void unfit(struct gst *g)
{
	if (g->converter)
		call.gst_video_converter_free(g->converter);
	if (g->caps)
		call.gst_mini_object_unref(g->caps);
	g->converter = g->caps = NULL;
}

// like_bgr sets the video info out to pictures as those of caps, but in BGR. 0: it cannot be.
static int like_bgr(void *out, void *caps)
{
	void *wanted = call.gst_caps_copy(caps), *s = call.gst_caps_get_structure(wanted, 0);
	call.gst_caps_set_simple(wanted, "format", g_type_string, "BGR", NULL);
	call.gst_structure_remove_field(s, "colorimetry");
	call.gst_structure_remove_field(s, "chroma-site");
	int done = call.gst_video_info_from_caps(out, wanted);
	call.gst_mini_object_unref(wanted);
	return done;
}

// as_coded corrects what caps say of pictures, and c, their colours: that planes of green, blue and red are luma and
// chroma though their matrix is that of RGB, as GStreamer's decoder of AV1 does; and that 8 bits of grey have the range
// of luma, whatever wrote them: FFmpeg writes and reads all of 0 to 255.
static void as_coded(void *caps, colours c)
{
	static const char *names[][2] = {{"Y444", "GBR"}, {"Y444_10LE", "GBR_10LE"}, {"Y444_12LE", "GBR_12LE"}};
	const char *format = call.gst_structure_get_string(call.gst_caps_get_structure(caps, 0), "format");
	if (format && !strcmp(format, "GRAY8"))
		c[0] = range_full;
	for (size_t i = 0; format && c[1] == matrix_rgb && i < sizeof names / sizeof *names; i++)
		if (!strcmp(format, names[i][0])) {
			call.gst_caps_set_simple(caps, "format", g_type_string, names[i][1], NULL);
			return;
		}
}

// with_colours sets the video info in to pictures as those of caps. What the codec does not tell of their colours is
// the container's word, or else what is usual for pictures of their size; left out, GStreamer takes an unknown range for
// full, and an unknown matrix for a reason to forget the range. 0: it cannot be.
static int with_colours(struct gst *g, void *caps)
{
	void *wanted = call.gst_caps_copy(caps);
	colours c, told, usual;
	colours_of(wanted, c);
	as_coded(wanted, c);
	for (int i = 0; i < 4; i++)
		told[i] = __atomic_load_n(&g->told[i], __ATOMIC_RELAXED);
	if (g->full)
		told[0] = range_full;
	fill(c, told);
	call.gst_structure_remove_field(call.gst_caps_get_structure(wanted, 0), "colorimetry");
	int done = call.gst_video_info_from_caps(g->in, wanted);
	if (done) {
		void *full = call.gst_video_info_to_caps(g->in);
		colours_of(full, usual);
		call.gst_mini_object_unref(full);
		fill(c, usual);
		char *text = call.gst_video_colorimetry_to_string(c);
		if (text)
			call.gst_caps_set_simple(wanted, "colorimetry", g_type_string, text, NULL);
		call.g_free(text);
		done = call.gst_video_info_from_caps(g->in, wanted);
	}
	call.gst_mini_object_unref(wanted);
	return done;
}

// fitted makes a converter for the caps of the newest sample. 0: there is none for them.
static int fitted(struct gst *g)
{
	void *caps = call.gst_sample_get_caps(g->sample);
	if (!caps)
		return 0;
	if (g->caps && (g->caps == caps || call.gst_caps_is_equal(g->caps, caps)))
		return 1;
	unfit(g);
	void *s = call.gst_caps_get_structure(caps, 0);
	if (!call.gst_structure_get_int(s, "width", &g->width) || !call.gst_structure_get_int(s, "height", &g->height) ||
		!with_colours(g, caps) || !like_bgr(g->out, caps))
		return 0;
	const char *format = call.gst_structure_get_string(s, "format"), *decoder;
	if (format && (decoder = miscoloured(g, format))) {
		if (!g->why && asprintf(&g->why, "GStreamer's decoder %s gives wrong colours for pictures of this kind (%s)",
				decoder, format) < 0)
			g->why = NULL;
		return 0;
	}
	if (!call.gst_structure_get_fraction(s, "framerate", &g->rate[0], &g->rate[1]))
		g->rate[0] = 0, g->rate[1] = 1;
	if ((g->converter = call.gst_video_converter_new(g->in, g->out, NULL)))
		g->caps = call.gst_mini_object_ref(caps);
	return g->converter != NULL;
}

// vggse_gst_pull takes the next picture if it is there. GST_END is where none comes any more, for the reason why, if it
// has one.
int vggse_gst_pull(struct gst *g)
{
	drop(g);
	g->sample = call.gst_app_sink_try_pull_sample(g->sink, 0);
	if (!g->sample)
		return heard(g) || call.gst_app_sink_is_eos(g->sink) ? GST_END : GST_NONE;
	if (fitted(g))
		return GST_FRAME;
	if (!g->why)
		g->why = strdup("the pictures have a format that cannot be converted");
	return GST_END;
}

// vggse_gst_convert writes the newest picture as BGR without gaps, and drops it. 0: it cannot be read.
int vggse_gst_convert(struct gst *g, void *pixels)
{
	frame from, to;
	size_t size = (size_t)3 * g->width * g->height;
	offsets no_offset = {0};
	strides row = {3 * g->width};
	void *buffer = call.gst_buffer_new_wrapped_full(0, pixels, size, 0, size, NULL, NULL);
	int done = 0;
	call.gst_buffer_add_video_meta_full(buffer, 0, call.gst_video_format_from_string("BGR"), g->width, g->height, 1,
		no_offset, row);
	if (call.gst_video_frame_map(&from, g->in, call.gst_sample_get_buffer(g->sample), map_read)) {
		if (call.gst_video_frame_map(&to, g->out, buffer, map_write)) {
			call.gst_video_converter_frame(g->converter, &from, &to);
			call.gst_video_frame_unmap(&to);
			done = 1;
		}
		call.gst_video_frame_unmap(&from);
	}
	call.gst_mini_object_unref(buffer);
	drop(g);
	return done;
}

// vggse_gst_time is when the newest picture is shown in its film, nanoseconds; 0: it does not say.
unsigned long long vggse_gst_time(struct gst *g)
{
	struct buffer *b = g->sample ? call.gst_sample_get_buffer(g->sample) : NULL;
	return b && b->pts != ~0ull ? b->pts : 0;
}

// vggse_gst_legible tells whether the newest picture can be read, and leaves it there.
int vggse_gst_legible(struct gst *g)
{
	frame from;
	if (!call.gst_video_frame_map(&from, g->in, call.gst_sample_get_buffer(g->sample), map_read))
		return 0;
	call.gst_video_frame_unmap(&from);
	return 1;
}

void vggse_gst_close(struct gst *g)
{
	drop(g);
	if (g->pipeline)
		call.gst_element_set_state(g->pipeline, state_null);
	unfit(g);
	if (g->in)
		call.gst_video_info_free(g->in);
	if (g->out)
		call.gst_video_info_free(g->out);
	if (g->bus)
		call.gst_object_unref(g->bus);
	if (g->sink)
		call.gst_object_unref(g->sink);
	if (g->pipeline)
		call.gst_object_unref(g->pipeline);
	free(g->why);
	memset(g, 0, sizeof *g);
}
