// libwebsockets against an echo server: interop HOST PORT PATH SIZES
// Says what it exercised, a line each, once it has seen it to be right.
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most = 1 << 20, fragments = 10 };

// A step is something to send, and what has to come back.
enum kind { text, binary, parts, ping, rest, shut, ask };
struct step { enum kind kind; size_t size; };

static struct step steps[64];
static int count, now, part;           // steps there are, the current one, its next fragment
static unsigned char out[LWS_PRE + most], back[most];
static size_t expected, came;
static int waiting, finished, failed;  // for an answer; all done; badly
static int code;                       // of the server's close frame
static char reason[124];

static void fail(const char *why) {
	fprintf(stderr, "step %d: %s\n", now, why);
	failed = finished = 1;
}

static void fill(const struct step *s) {
	unsigned char *p = out + LWS_PRE;
	for (size_t i = 0; i < s->size; i++)
		p[i] = (unsigned char)(s->kind == binary ? 240 + i % 16 : 'a' + i % 16);
}

static void next(struct lws *wsi) {
	now++;
	waiting = 0;
	lws_callback_on_writable(wsi);
}

// Sends what the current step is about; nonzero ends the connection.
static int act(struct lws *wsi) {
	const struct step *s = &steps[now];
	unsigned char *p = out + LWS_PRE;
	int n;
	if (waiting)
		return 0;
	switch (s->kind) {
	case text:
	case binary:
		fill(s);
		waiting = 1, expected = s->size, came = 0;
		n = lws_write(wsi, p, s->size, s->kind == text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
		return n < (int)s->size ? -1 : 0;
	case parts:
		n = sprintf((char *)p, "part %d ", part);
		if (part == 0)
			came = 0, expected = (size_t)n * fragments;
		part++;
		waiting = part == fragments;
		if (lws_write(wsi, p, (size_t)n, (enum lws_write_protocol)lws_write_ws_flags(LWS_WRITE_TEXT, part == 1, waiting)) < n)
			return -1;
		if (!waiting)
			lws_callback_on_writable(wsi);
		return 0;
	case ping:
		memset(p, 0xff, 125);
		waiting = 1;
		return lws_write(wsi, p, 125, LWS_WRITE_PING) < 125 ? -1 : 0;
	case rest: // the server pings every half second
		waiting = 1;
		lws_set_timer_usecs(wsi, 1500 * LWS_US_PER_MS);
		return 0;
	case shut:
		waiting = 1;
		lws_close_reason(wsi, (enum lws_close_status)s->size, (unsigned char *)"why", 3);
		return -1;
	case ask:
		n = sprintf((char *)p, "close %d bye", (int)s->size);
		waiting = 1;
		return lws_write(wsi, p, (size_t)n, LWS_WRITE_TEXT) < n ? -1 : 0;
	}
	return -1;
}

static void answered(struct lws *wsi) {
	const struct step *s = &steps[now];
	if (s->kind == parts) {
		for (int i = 0; i < fragments; i++)
			if (back[5 + 7 * i] != '0' + i)
				fail("the fragments came back otherwise");
		puts("fragments");
	} else {
		fill(s); // the library has masked it where it stood
		if (memcmp(back, out + LWS_PRE, s->size) || lws_frame_is_binary(wsi) != (s->kind == binary))
			fail("the message came back otherwise");
		printf("%s %zu\n", s->kind == text ? "text" : "binary", s->size);
	}
	next(wsi);
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len) {
	(void)user;
	switch (why) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		code = 0;
		lws_callback_on_writable(wsi);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return act(wsi);
	case LWS_CALLBACK_CLIENT_RECEIVE:
		if (came + len > expected || came + len > most) {
			fail("more came back than was sent");
			return -1;
		}
		if (len)
			memcpy(back + came, in, len);
		came += len;
		if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi)) {
			if (came != expected)
				fail("less came back than was sent");
			answered(wsi);
		}
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		if (steps[now].kind == ping && len == 125) {
			puts("ping");
			next(wsi);
		}
		break;
	case LWS_CALLBACK_TIMER:
		puts("pong");
		next(wsi);
		break;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (len >= 2) {
			code = ((unsigned char *)in)[0] << 8 | ((unsigned char *)in)[1];
			memcpy(reason, (char *)in + 2, len - 2);
		}
		break;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		fail(in ? in : "no connection");
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
		if (steps[now].kind == shut) {
			printf("close %zu\n", steps[now].size);
		} else if (steps[now].kind == ask && code == (int)steps[now].size && !strcmp(reason, "bye")) {
			printf("closed %d\n", code);
		} else {
			fail("the server closed");
		}
		now++;
		finished = 1;
		break;
	default:
		break;
	}
	return 0;
}

int main(int argc, char **argv) {
	static const struct lws_protocols protocols[] = {
		{.name = "", .callback = callback, .rx_buffer_size = 65536}, {.name = NULL}};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .gid = (gid_t)-1, .uid = (uid_t)-1};
	if (argc != 5)
		return 2;
	for (char *s = strtok(argv[4], ","); s; s = strtok(NULL, ",")) {
		steps[count++] = (struct step){text, (size_t)atol(s)};
		steps[count++] = (struct step){binary, (size_t)atol(s)};
	}
	steps[count++] = (struct step){parts, 0};
	steps[count++] = (struct step){ping, 0};
	steps[count++] = (struct step){rest, 0};
	steps[count++] = (struct step){shut, 4001};
	steps[count++] = (struct step){ask, 4002};
	steps[count++] = (struct step){shut, 1000};
	lws_set_log_level(LLL_ERR, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct lws_context *context = lws_create_context(&info);
	if (!context)
		return 1;
	printf("version libwebsockets %s\n", lws_get_library_version());
	while (now < count && !failed) {
		struct lws_client_connect_info to = {.context = context, .address = argv[1], .host = argv[1],
			.port = atoi(argv[2]), .path = argv[3], .ietf_version_or_minus_one = -1};
		waiting = finished = 0;
		if (!lws_client_connect_via_info(&to))
			return 1;
		while (!finished && lws_service(context, 0) >= 0)
			;
	}
	lws_context_destroy(context);
	return failed;
}
