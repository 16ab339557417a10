<?php
/**
 * The PHP side of ws-fpm, WebSockets for php-fpm, in one file to copy or to
 * require. PHP 7.4 or later. Loading it does nothing.
 *
 *     require_once __DIR__ . '/WsFpm.php';
 *
 *     (new WsFpm\Script)
 *         ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) {
 *             $reply->send('You said: ' . $event->body);
 *         })
 *         ->run();
 *
 * @license MIT
 */

declare(strict_types=1);

namespace WsFpm;

use InvalidArgumentException;
use LogicException;
use RuntimeException;
use Throwable;

/**
 * What happened. It cannot be changed.
 *
 * @property-read string      $event       connect, message, disconnect or start
 * @property-read ?string     $id          of the connection, 32 hex digits; null for start
 * @property-read int         $seq         of the event within its connection: 0 for connect, then 1, 2, 3 …
 * @property-read ?string     $opcode      of a message: text (then the body is UTF-8) or binary
 * @property-read string      $body        the message; empty for other events
 * @property-read ?string     $user        whom a reply has bound to the connection by user()
 * @property-read ?string     $subprotocol agreed on at connect
 * @property-read ?int        $closeCode   of a disconnect: 1005 without a code, 1006 without a close frame
 * @property-read ?string     $closeReason of a disconnect
 * @property-read ?string     $closeBy     of a disconnect: client, server or none
 * @property-read string      $route       the route's prefix, such as /ws
 * @property-read string      $boot        a random id of this run of ws-fpm
 */
final class Event
{
    private string $event;
    private ?string $id;
    private int $seq;
    private ?string $opcode;
    private string $body;
    private ?string $user;
    private ?string $subprotocol;
    private ?int $closeCode;
    private ?string $closeReason;
    private ?string $closeBy;
    private string $route;
    private string $boot;
    private array $server;

    /**
     * @param array  $server as $_SERVER
     * @param string $body   as php://input
     */
    public function __construct(array $server, string $body = '')
    {
        if (!isset($server['WS_EVENT'])) {
            throw new LogicException('there is no WS_EVENT: this script answers ws-fpm and is no web page');
        }
        $this->server = $server;
        $this->event = $server['WS_EVENT'];
        $this->id = $server['WS_CONNECTION_ID'] ?? null;
        $this->seq = (int) ($server['WS_EVENT_SEQ'] ?? 0);
        $this->opcode = $server['WS_OPCODE'] ?? null;
        $this->body = $body;
        $this->user = $server['WS_USER'] ?? null;
        $this->subprotocol = $server['WS_SUBPROTOCOL'] ?? null;
        $this->closeCode = isset($server['WS_CLOSE_CODE']) ? (int) $server['WS_CLOSE_CODE'] : null;
        $this->closeReason = $server['WS_CLOSE_REASON'] ?? null;
        $this->closeBy = $server['WS_CLOSE_BY'] ?? null;
        $this->route = $server['WS_ROUTE'] ?? '';
        $this->boot = $server['WS_BOOT'] ?? '';
    }

    /**
     * The message as JSON, objects as arrays.
     *
     * @return mixed
     * @throws \JsonException if it is none
     */
    public function json()
    {
        return json_decode($this->body, true, 512, JSON_THROW_ON_ERROR);
    }

    /** What a reply has bound to the connection by set(). */
    public function attr(string $name, ?string $default = null): ?string
    {
        return $this->server['WS_ATTR_' . Reply::attribute($name)] ?? $default;
    }

    /**
     * The subprotocols that the client offers at connect, its favourite first.
     * One may hold a token: do not log them.
     *
     * @return string[]
     */
    public function offered(): array
    {
        return preg_split('/[\s,]+/', $this->server['WS_SUBPROTOCOLS'] ?? '', -1, PREG_SPLIT_NO_EMPTY);
    }

    /**
     * Whether the route in ws-fpm's configuration asks for an event. Start
     * comes with connect or disconnect.
     */
    public function routeHas(string $event): bool
    {
        $events = explode(',', $this->server['WS_EVENTS'] ?? '');
        $wanted = $event === 'start' ? ['connect', 'disconnect'] : [$event];
        return array_intersect($wanted, $events) !== [];
    }

    /** @return mixed */
    public function __get(string $name)
    {
        if ($name === 'server' || !property_exists($this, $name)) {
            throw new LogicException("an event has no $name");
        }
        return $this->$name;
    }

    public function __isset(string $name): bool
    {
        return $name !== 'server' && isset($this->$name);
    }

    /** @param mixed $value */
    public function __set(string $name, $value): void
    {
        throw new LogicException("an event cannot be changed, nor its $name");
    }
}

/**
 * What to answer. Nothing leaves before the handler has returned, so that one
 * that fails half way has let nobody in and said nothing.
 *
 * A value that would break a header is refused (InvalidArgumentException), and
 * so is what makes no sense at the event in question (LogicException). Cookies
 * and other headers of a connect reply: PHP's own setcookie() and header().
 */
final class Reply
{
    private Event $event;
    private int $status = 200;
    private bool $accepted = false;
    private bool $refused = false;
    private bool $streams = false;
    private bool $begun = false;
    private array $fields = [];
    private ?string $body = null;
    private ?iterable $messages = null;
    private ?string $closing = null;

    public function __construct(Event $event)
    {
        $this->event = $event;
    }

    /**
     * At connect: lets the client in. Who is not let in is refused with 403.
     *
     * @param ?string $subprotocol one of those offered; null: the route decides
     */
    public function accept(?string $subprotocol = null): self
    {
        $this->only('accept', 'connect');
        if ($subprotocol !== null && !in_array($subprotocol, $this->event->offered(), true)) {
            throw new InvalidArgumentException('accept: a subprotocol that the client did not offer');
        }
        if ($this->refused) {
            throw new LogicException('accept: after reject');
        }
        $this->accepted = true;
        $this->fields['WS-Accept'] = 'yes';
        if ($subprotocol !== null) {
            $this->fields['Sec-WebSocket-Protocol'] = $subprotocol;
        }
        return $this;
    }

    /**
     * At connect: refuses the client, whatever else was said. A browser does
     * not show status and body to its page; accept()->close(4401) it does.
     */
    public function reject(int $status = 403, string $body = '', string $type = 'text/plain; charset=utf-8'): self
    {
        $this->only('reject', 'connect');
        if ($status < 300 || $status > 599) {
            throw new InvalidArgumentException("reject: want a status from 300 to 599, not $status");
        }
        $this->accepted = false;
        $this->refused = true;
        $this->status = $status;
        $this->fields['Content-Type'] = self::value('Content-Type', $type);
        $this->body = $body;
        return $this;
    }

    /** Sends a text, which must be UTF-8. At connect it is the first message. */
    public function send(string $text): self
    {
        return $this->message('send', 'text', 'text/plain; charset=utf-8', self::text($text));
    }

    /**
     * Sends a value as JSON.
     *
     * @param mixed $value
     */
    public function json($value): self
    {
        return $this->message('json', 'text', 'application/json', self::encode($value));
    }

    /** Sends bytes as they are. */
    public function binary(string $bytes): self
    {
        return $this->message('binary', 'binary', 'application/octet-stream', $bytes);
    }

    /**
     * Sends each item as a message of its own as soon as it is there: a string
     * as text, with line ends as LF, and anything else as JSON. A generator
     * does its work in between; its finally blocks run when the client has gone.
     *
     * The headers leave with the first item. After that only close() counts,
     * and an exception closes the connection with 1011.
     */
    public function stream(iterable $messages): self
    {
        $this->only('stream', 'message');
        $this->message('stream', 'text', 'text/event-stream', '');
        $this->messages = $messages;
        $this->streams = true;
        return $this;
    }

    /** Has the client's next message end the stream; it is then delivered. */
    public function interruptible(): self
    {
        $this->only('interruptible', 'message');
        $this->fields['WS-Interrupt'] = 'yes';
        return $this;
    }

    /**
     * Closes the connection after the message or the stream. With accept() at
     * connect it is the one way to tell a browser's page why.
     *
     * @param int    $code   1000, 1008, 1011, 1013 or 3000 to 4999
     * @param string $reason of at most 123 bytes
     */
    public function close(int $code = 1000, string $reason = ''): self
    {
        if (!$this->begun) { // the end of a stream may close as well
            $this->only('close', 'connect', 'message');
        }
        if (!in_array($code, [1000, 1008, 1011, 1013], true) && ($code < 3000 || $code > 4999)) {
            throw new InvalidArgumentException("close: want 1000, 1008, 1011, 1013 or 3000 to 4999, not $code");
        }
        if (strlen($reason) > 123) {
            throw new InvalidArgumentException('close: a reason of more than 123 bytes');
        }
        $this->closing = rtrim($code . ' ' . self::value('WS-Close', self::text($reason)));
        return $this;
    }

    /** Binds a user to the connection, for every later event; null unbinds. */
    public function user(?string $user): self
    {
        $this->only('user', 'connect', 'message');
        $this->fields['WS-User'] = self::value('WS-User', (string) $user);
        return $this;
    }

    /**
     * Binds a value to the connection, for attr() of every later event; null
     * or an empty one unbinds. room-id, room_id and Room-Id are one name.
     */
    public function set(string $name, ?string $value): self
    {
        $this->only('set', 'connect', 'message');
        $field = 'WS-Set-' . strtr(self::attribute($name), '_', '-');
        $this->fields[$field] = self::value($field, (string) $value);
        return $this;
    }

    /** Has the connection closed after so many seconds, with 1008 "expired". */
    public function expire(int $seconds): self
    {
        $this->only('expire', 'connect', 'message');
        if ($seconds < 1 || $seconds > 315360000) {
            throw new InvalidArgumentException("expire: want 1 to 315360000 seconds, not $seconds");
        }
        $this->fields['WS-Expire'] = (string) $seconds;
        return $this;
    }

    /**
     * An attribute's name as its param has it: ROOM_ID.
     *
     * @internal
     */
    public static function attribute(string $name): string
    {
        if (preg_match('/\A[A-Za-z0-9_-]+\z/', $name) !== 1) {
            throw new InvalidArgumentException('an attribute has a name of letters, digits, hyphens and underscores');
        }
        return strtoupper(strtr($name, '-', '_'));
    }

    /**
     * Sends all that was said.
     *
     * @internal
     */
    public function deliver(): void
    {
        if ($this->event->event === 'connect' && !$this->accepted) {
            $this->status = $this->refused ? $this->status : 403;
            $this->fields = array_intersect_key($this->fields, ['Content-Type' => 0]);
            $this->body = $this->refused ? $this->body : '';
        }
        if ($this->streams) {
            $this->deliverStream();
            return;
        }
        if ($this->closing !== null && ($this->accepted || $this->event->event === 'message')) {
            $this->fields['WS-Close'] = $this->closing;
        }
        $this->begin();
        echo $this->body;
    }

    /**
     * Answers that it went wrong: with 500 or, within a stream, by closing.
     *
     * @internal
     */
    public function fail(): void
    {
        if ($this->begun && $this->streams) {
            Output::discard();
            self::sendEvent('1011', 'ws-close');
        } else {
            Output::fail();
        }
    }

    private function deliverStream(): void
    {
        [$messages, $this->messages] = [$this->messages, null];
        // With it a client that has gone ends the loop below, and not PHP.
        $before = ignore_user_abort(true);
        try {
            $gone = false;
            foreach ($messages as $message) {
                $text = is_string($message) ? self::text($message) : self::encode($message);
                $this->begin();
                Output::discard();
                self::sendEvent($text);
                if ($gone = connection_aborted() !== 0) {
                    break;
                }
                Output::capture();
            }
            $this->begin();
            Output::discard();
            if (!$gone && $this->closing !== null) {
                self::sendEvent($this->closing, 'ws-close');
            }
        } finally {
            ignore_user_abort((bool) $before);
        }
    }

    /** Sends the headers, once. */
    private function begin(): void
    {
        if ($this->begun) {
            return;
        }
        Output::discard();
        if (headers_sent($file, $line)) {
            throw new RuntimeException("output has begun at $file:$line");
        }
        $this->begun = true;
        http_response_code($this->status);
        foreach ($this->fields as $name => $value) {
            header("$name: $value");
        }
    }

    /** Sends an event of text/event-stream. */
    private static function sendEvent(string $data, ?string $event = null): void
    {
        $lines = str_replace("\n", "\ndata: ", str_replace(["\r\n", "\r"], "\n", $data));
        echo $event === null ? '' : "event: $event\n", 'data: ', $lines, "\n\n";
        flush();
    }

    private function message(string $method, string $opcode, string $type, string $body): self
    {
        $this->only($method, 'connect', 'message');
        if ($this->body !== null) {
            throw new LogicException("$method: a reply is one message; stream() sends several");
        }
        $this->fields['WS-Opcode'] = $opcode; // an empty message is sent, too
        $this->fields['Content-Type'] = $type;
        $this->body = $body;
        return $this;
    }

    /** Refuses a method at other events, and after the headers have left. */
    private function only(string $method, string ...$events): void
    {
        if (!in_array($this->event->event, $events, true)) {
            throw new LogicException("$method: not at {$this->event->event}");
        }
        if ($this->begun) {
            throw new LogicException("$method: the headers have left");
        }
    }

    /** Refuses what would end a header or begin another one. */
    private static function value(string $field, string $value): string
    {
        if (preg_match('/[\x00-\x08\x0a-\x1f\x7f]/', $value) !== 0) {
            throw new InvalidArgumentException("$field: a value with a control character");
        }
        if (trim($value, " \t") !== $value) { // which a header does not keep: it would become another value
            throw new InvalidArgumentException("$field: a value that begins or ends with white space");
        }
        return $value;
    }

    private static function text(string $text): string
    {
        if (preg_match('//u', $text) !== 1) {
            throw new InvalidArgumentException('a text that is not UTF-8; binary() sends any bytes');
        }
        return $text;
    }

    /** @param mixed $value */
    private static function encode($value): string
    {
        return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }
}

/**
 * What this script does at which event. Each handler is called with the Event
 * and the Reply; what it returns or prints is not sent.
 */
final class Script
{
    private array $handlers = [];

    /** The client wants to come in, and does if the handler calls accept(). */
    public function connect(callable $handler): self
    {
        return $this->on('connect', $handler);
    }

    /** The client has sent a message. */
    public function message(callable $handler): self
    {
        return $this->on('message', $handler);
    }

    /** The connection has gone. There is nobody left to answer. */
    public function disconnect(callable $handler): self
    {
        return $this->on('disconnect', $handler);
    }

    /** ws-fpm has started: connections of another boot are no more. */
    public function start(callable $handler): self
    {
        return $this->on('start', $handler);
    }

    /**
     * Answers the event for which ws-fpm runs this script. What goes wrong is
     * one line in PHP's error log and a reply of 500, which lets nobody in.
     */
    public function run(): void
    {
        // An error belongs in the log: in a message it would tell a stranger.
        ini_set('display_errors', '0');
        ini_set('log_errors', '1');
        Output::discard(); // and with it compression, which is ws-fpm's to do
        Output::capture();
        $reply = null;
        $done = false;
        register_shutdown_function(static function () use (&$reply, &$done): void {
            $fatal = [E_ERROR, E_PARSE, E_CORE_ERROR, E_COMPILE_ERROR, E_USER_ERROR, E_RECOVERABLE_ERROR];
            if (!$done && $reply !== null && in_array(error_get_last()['type'] ?? 0, $fatal, true)) {
                $reply->fail(); // PHP itself has logged it
            }
        });
        try {
            $event = new Event($_SERVER, (string) file_get_contents('php://input'));
            $reply = new Reply($event);
            $this->check($event);
            if (isset($this->handlers[$event->event])) {
                ($this->handlers[$event->event])($event, $reply);
            }
            $reply->deliver();
        } catch (Throwable $e) {
            Output::log(sprintf('%s: %s in %s:%d', get_class($e), $e->getMessage(), $e->getFile(), $e->getLine()));
            $reply === null ? Output::fail() : $reply->fail();
        }
        $done = true;
    }

    private function on(string $event, callable $handler): self
    {
        if (isset($this->handlers[$event])) {
            throw new LogicException("a second handler for $event");
        }
        $this->handlers[$event] = $handler;
        return $this;
    }

    /** Refuses to work where the configuration and the handlers disagree. */
    private function check(Event $event): void
    {
        foreach (array_keys($this->handlers) as $name) {
            if (!$event->routeHas($name)) {
                throw new LogicException("there is a handler for $name, which the route {$event->route} does not ask for");
            }
        }
        if ($event->event === 'connect' && !isset($this->handlers['connect'])) {
            throw new LogicException("the route {$event->route} asks for connect, and there is no handler");
        }
    }
}

/** @internal */
final class Output
{
    /** Keeps what is printed from now on. */
    public static function capture(): void
    {
        ob_start();
    }

    /** Ends all buffers. What was printed is a mistake and goes to the log. */
    public static function discard(): void
    {
        $printed = '';
        while (ob_get_level() > 0) {
            $printed = ob_get_contents() . $printed;
            if (!@ob_end_clean()) {
                break; // one that cannot be ended
            }
        }
        if (trim($printed) !== '') {
            self::log('printed and not sent: ' . substr($printed, 0, 200));
        }
    }

    /** Answers 500, as far as that is still possible. */
    public static function fail(): void
    {
        self::discard();
        if (!headers_sent()) {
            header_remove();
            http_response_code(500);
        }
    }

    /** Writes one line to PHP's error log. */
    public static function log(string $line): void
    {
        error_log('WsFpm: ' . trim(preg_replace('/[\x00-\x20\x7f]+/', ' ', $line)));
    }
}
