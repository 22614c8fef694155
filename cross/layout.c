// Holds camera/gstreamer_layout.h against GStreamer's headers; the compiler refuses what differs. cross/link.sh
// compiles it for each architecture, against the oldest GStreamer of a release.
#include "gstreamer_layout.h"
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#define IS(a, b) _Static_assert((a) == (b), #a " is not " #b)
#define AT(ours, member, theirs, name)                                                    \
	IS(offsetof(ours, member), offsetof(theirs, name));                                   \
	IS(sizeof(((ours *)0)->member), sizeof(((theirs *)0)->name))

IS(state_null, GST_STATE_NULL);
IS(state_playing, GST_STATE_PLAYING);
IS(change_failure, GST_STATE_CHANGE_FAILURE);
IS(message_error, GST_MESSAGE_ERROR);
IS(map_read, GST_MAP_READ);
IS(map_write, GST_MAP_WRITE);
IS(g_type_string, G_TYPE_STRING);
IS(probe_event_downstream, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM);
IS(probe_ok, GST_PAD_PROBE_OK);
IS(parse_fatal_errors, GST_PARSE_FLAG_FATAL_ERRORS);
IS(range_full, GST_VIDEO_COLOR_RANGE_0_255);
IS(matrix_rgb, GST_VIDEO_COLOR_MATRIX_RGB);
IS(0, GST_FLOW_OK);

IS(sizeof(error), sizeof(GError));
AT(error, domain, GError, domain);
AT(error, code, GError, code);
AT(error, message, GError, message);

IS(sizeof(offsets), sizeof(gsize[GST_VIDEO_MAX_PLANES]));
IS(sizeof(strides), sizeof(gint[GST_VIDEO_MAX_PLANES]));

IS(sizeof(colours), sizeof(GstVideoColorimetry));
IS(0 * sizeof(int), offsetof(GstVideoColorimetry, range));
IS(1 * sizeof(int), offsetof(GstVideoColorimetry, matrix));
IS(2 * sizeof(int), offsetof(GstVideoColorimetry, transfer));
IS(3 * sizeof(int), offsetof(GstVideoColorimetry, primaries));

_Static_assert(sizeof(callbacks) >= sizeof(GstAppSinkCallbacks), "callbacks are too small");
AT(callbacks, eos, GstAppSinkCallbacks, eos);
AT(callbacks, new_preroll, GstAppSinkCallbacks, new_preroll);
AT(callbacks, new_sample, GstAppSinkCallbacks, new_sample);

AT(probed, type, GstPadProbeInfo, type);
AT(probed, id, GstPadProbeInfo, id);
AT(probed, data, GstPadProbeInfo, data);

AT(struct segment, flags, GstSegment, flags);
AT(struct segment, rate, GstSegment, rate);
AT(struct segment, applied_rate, GstSegment, applied_rate);
AT(struct segment, format, GstSegment, format);
AT(struct segment, base, GstSegment, base);
AT(struct segment, offset, GstSegment, offset);
AT(struct segment, start, GstSegment, start);
AT(struct segment, stop, GstSegment, stop);

_Static_assert(sizeof(frame) >= sizeof(GstVideoFrame), "frame is too small");
_Static_assert(_Alignof(frame) >= _Alignof(GstVideoFrame), "frame is not aligned");

AT(struct buffer, mini_object, GstBuffer, mini_object);
AT(struct buffer, mini_object.refcount, GstBuffer, mini_object.refcount);
AT(struct buffer, mini_object.priv_pointer, GstBuffer, mini_object.priv_pointer);
AT(struct buffer, pool, GstBuffer, pool);
AT(struct buffer, pts, GstBuffer, pts);
