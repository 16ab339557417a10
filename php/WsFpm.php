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
 * And from any other PHP, to reach those who are connected:
 *
 *     (new WsFpm\Api)->publish('news', 'It is noon.');
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
     * The channels that the connection listens to, at a message and at
     * disconnect. Of very many (4 KiB of names) the last are missing.
     *
     * @return string[]
     */
    public function channels(): array
    {
        return preg_split('/,/', $this->server['WS_CHANNELS'] ?? '', -1, PREG_SPLIT_NO_EMPTY);
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
    private array $subscribe = [];
    private array $unsubscribe = [];
    private array $publish = [];
    private bool $excludeSelf = false;
    private bool $alsoReply = false;
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
        return $this->message('send', 'text', 'text/plain; charset=utf-8', Check::text($text));
    }

    /**
     * Sends a value as JSON.
     *
     * @param mixed $value
     */
    public function json($value): self
    {
        return $this->message('json', 'text', 'application/json', Check::json($value));
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
        Check::closing($code, $reason);
        $this->closing = rtrim($code . ' ' . self::value('WS-Close', Check::text($reason)));
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
     * Has the connection listen to channels. It may listen to 128.
     *
     * A name is 1 to 200 characters of A-Z a-z 0-9 _ . : / @ -, none of its
     * segments between slashes empty, "." or "..".
     */
    public function subscribe(string ...$channels): self
    {
        $this->only('subscribe', 'connect', 'message');
        array_push($this->subscribe, ...array_map([Check::class, 'channel'], array_values($channels)));
        return $this;
    }

    /**
     * Has the connection listen to these channels no more, or with '*' to none.
     * It leaves before it comes to what subscribe() says.
     */
    public function unsubscribe(string ...$channels): self
    {
        $this->only('unsubscribe', 'message');
        foreach ($channels as $channel) {
            $this->unsubscribe[] = $channel === '*' ? '*' : Check::channel($channel);
        }
        return $this;
    }

    /**
     * Sends the message, or each one of the stream, to all who listen to these
     * channels, and not back. At disconnect it comes before the message, which
     * only then has somebody to go to.
     */
    public function publish(string ...$channels): self
    {
        $this->only('publish', 'connect', 'message', 'disconnect');
        if ($channels === []) { // else the message would go back
            throw new InvalidArgumentException('publish: to no channel');
        }
        array_push($this->publish, ...array_map([Check::class, 'channel'], array_values($channels)));
        return $this;
    }

    /** Leaves this connection out of what is published, though it listens. */
    public function excludeSelf(): self
    {
        $this->only('excludeSelf', 'connect', 'message', 'disconnect');
        $this->excludeSelf = true;
        return $this;
    }

    /** Sends what is published back as well, as the answer. */
    public function alsoReply(): self
    {
        $this->only('alsoReply', 'connect', 'message');
        $this->alsoReply = true;
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
        } else {
            $this->listen();
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

    /** Writes down what was said about channels. */
    private function listen(): void
    {
        if ($this->publish === [] && ($this->excludeSelf || $this->alsoReply)) {
            throw new LogicException('excludeSelf and alsoReply: without publish');
        }
        if ($this->publish !== []) {
            if ($this->body === null) {
                throw new LogicException('publish: without a message');
            }
            $this->fields['WS-Publish'] = implode(', ', $this->publish)
                . ($this->excludeSelf ? '; exclude=self' : '') . ($this->alsoReply ? '; reply' : '');
        }
        if ($this->unsubscribe !== []) {
            $all = in_array('*', $this->unsubscribe, true);
            $this->fields['WS-Unsubscribe'] = $all ? '*' : implode(', ', $this->unsubscribe);
        }
        if ($this->subscribe !== []) {
            $this->fields['WS-Subscribe'] = implode(', ', $this->subscribe);
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
                $text = is_string($message) ? Check::text($message) : Check::json($message);
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
        if ($this->publish === []) { // at disconnect there is nobody else to send to
            $this->only($method, 'connect', 'message');
        }
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
            $body = (string) file_get_contents('php://input');
            // php-fpm runs a script though the rest of its input never came.
            if (strlen($body) < (int) ($_SERVER['CONTENT_LENGTH'] ?? 0)) {
                throw new RuntimeException('the message was cut: ' . strlen($body) . ' bytes of ' . $_SERVER['CONTENT_LENGTH']);
            }
            $event = new Event($_SERVER, $body);
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
                $want = $name === 'start' ? 'connect or disconnect' : $name;
                throw new LogicException("there is a handler for $name, which the route {$event->route} does not ask for: add $want to its events");
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

/**
 * Bytes to be sent as a binary message.
 */
final class Binary
{
    public string $bytes;

    public function __construct(string $bytes)
    {
        $this->bytes = $bytes;
    }
}

/**
 * The control API of ws-fpm did not do what was asked. The code is its HTTP
 * status, or 0 if there was no answer.
 */
final class ApiException extends RuntimeException
{
    private bool $notDone;

    public function __construct(string $message, int $status, bool $notDone)
    {
        parent::__construct($message, $status);
        $this->notDone = $notDone;
    }

    /**
     * Whether nothing was done for certain, so that asking again cannot send a
     * message twice. If not, nobody knows.
     */
    public function notDone(): bool
    {
        return $this->notDone;
    }
}

/**
 * Reaches those who are connected, from any PHP: a page, a cron job, a queue
 * worker, or the handler of another connection's message.
 *
 * A message is a string, which is sent as text and must be UTF-8, a Binary, or
 * anything else, which is sent as JSON; at most 1 MiB. Names and ids are checked
 * before anything is sent (InvalidArgumentException). Whatever the API refuses
 * or does not answer in time is an ApiException.
 *
 * The connection is kept for further calls. A request is sent on another one
 * only if this one was closed before it had taken all of the request, which then
 * cannot have run, and once. When all of it was taken and no answer comes, only
 * what changes nothing is asked again.
 */
final class Api
{
    private const MAX_MESSAGE = 1048576; // bytes of a body, as the API has it
    private const MAX_HEAD = 16384; // bytes of an answer's head
    private const MAX_ANSWER = 16777216; // bytes of an answer, whole
    private const KEEP = 20; // seconds without a call; the API closes after 30

    private string $address; // for messages
    private string $remote; // as stream_socket_client() wants it
    private string $host = 'localhost';
    private string $base = ''; // path in front of the API's own
    private ?string $tokenFile;
    private float $timeout;

    /** @var ?resource */
    private $socket = null;
    private int $owner = 0; // the process that opened it
    private float $used = 0.0;
    private string $buffer = '';

    /**
     * Connects to nothing yet.
     *
     * @param ?string $address   unix:/path, /path or http://host:port; null: WS_API of $_SERVER (as a handler of
     *                           ws-fpm has it) or of the environment
     * @param ?string $tokenFile a file with the API's token, which this process can read; null: WS_API_TOKEN_FILE,
     *                           and if there is none, no token
     * @param float   $timeout   seconds for a call, whole
     */
    public function __construct(?string $address = null, ?string $tokenFile = null, float $timeout = 5.0)
    {
        $address = $address ?? self::setting('WS_API');
        if ($address === null) {
            throw new LogicException("where is the control API? Neither WS_API says it nor an argument, such as 'unix:/run/ws-fpm/control.sock'");
        }
        if (!($timeout > 0 && $timeout <= 300)) {
            throw new InvalidArgumentException('timeout: want up to 300 seconds');
        }
        $this->address = $address;
        $this->tokenFile = $tokenFile ?? self::setting('WS_API_TOKEN_FILE');
        $this->timeout = $timeout;
        if (preg_match('~\A(?:unix:)?(/[^\x00-\x1f\x7f]+)\z~', $address, $m) === 1) {
            $this->remote = 'unix://' . $m[1];
        } elseif (preg_match('~\Ahttp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?((?:/[A-Za-z0-9_.-]+)*)/?\z~', $address, $m) === 1) {
            $port = $m[2] === '' ? '80' : $m[2];
            $this->remote = "tcp://{$m[1]}:$port";
            $this->host = "{$m[1]}:$port";
            $this->base = $m[3];
        } else {
            throw new InvalidArgumentException("the address $address of the control API: want unix:/path or http://host:port");
        }
    }

    public function __destruct()
    {
        $this->disconnect();
    }

    public function __clone()
    {
        throw new LogicException('an Api cannot be cloned: two would share a connection');
    }

    /**
     * Sends to a connection. False: it is gone.
     *
     * @param mixed $message
     */
    public function send(string $id, $message): bool
    {
        return $this->post('/connections/' . Check::id($id), $message) !== null;
    }

    /**
     * Sends to all who listen to a channel, but for the connection $exclude.
     * Gives the number of those that were handed it.
     *
     * @param mixed $message
     */
    public function publish(string $channel, $message, ?string $exclude = null): int
    {
        $query = $exclude === null ? '' : '?exclude=' . Check::id($exclude);
        return $this->number('delivered', $this->post('/channels/' . self::segment(Check::channel($channel)) . $query, $message));
    }

    /**
     * Sends to all connections of a user: whom a reply has bound by user().
     * Gives the number of those that were handed it.
     *
     * @param mixed $message
     */
    public function sendToUser(string $user, $message): int
    {
        return $this->number('delivered', $this->post('/users/' . self::segment(Check::user($user)), $message));
    }

    /** Closes a connection, behind what was sent to it before. False: it is gone. */
    public function close(string $id, int $code = 1000, string $reason = ''): bool
    {
        Check::closing($code, $reason);
        return $this->call('DELETE', '/connections/' . Check::id($id) . self::query(['code' => $code, 'reason' => $reason])) !== null;
    }

    /** Closes all connections of a user, who has signed out. Gives their number. */
    public function closeUser(string $user, int $code = 1000, string $reason = ''): int
    {
        Check::closing($code, $reason);
        $path = '/users/' . self::segment(Check::user($user)) . self::query(['code' => $code, 'reason' => $reason]);
        return $this->number('closed', $this->call('DELETE', $path));
    }

    /**
     * Describes a connection: id, since (ms), route, user, attributes, channels,
     * remote_address. Null: it is gone.
     */
    public function connection(string $id): ?array
    {
        return $this->call('GET', '/connections/' . Check::id($id));
    }

    /**
     * Describes connections, of a user, of a channel, of both or all:
     * ['connections' => [...], 'total' => how many there are].
     */
    public function connections(?string $user = null, ?string $channel = null, int $limit = 100): array
    {
        $query = ['limit' => Check::limit($limit)];
        if ($user !== null) {
            $query['user'] = Check::user($user);
        }
        if ($channel !== null) {
            $query['channel'] = Check::channel($channel);
        }
        return $this->call('GET', '/connections' . self::query($query)) ?? [];
    }

    /** The channels whose names begin so: ['channels' => [['name' => …, 'connections' => n], …], 'total' => n]. */
    public function channels(string $prefix = '', int $limit = 100): array
    {
        return $this->call('GET', '/channels' . self::query(['prefix' => $prefix, 'limit' => Check::limit($limit)])) ?? [];
    }

    /** Who listens to a channel: ['name' => …, 'connections' => [ids], 'total' => n]. */
    public function channel(string $name, int $limit = 100): array
    {
        return $this->call('GET', '/channels/' . self::segment(Check::channel($name)) . self::query(['limit' => Check::limit($limit)])) ?? [];
    }

    /**
     * Does up to 1,000 operations in order, in one request of at most 1 MiB. An
     * operation has one of connection, user and channel (which may have exclude), and one of
     * message and close: ['code' => 4001, 'reason' => 'bye'].
     *
     * @return array[] of each ['delivered' => n] or ['closed' => n], and ['error' => …] if its connection is gone
     */
    public function batch(array $operations): array
    {
        if ($operations === []) {
            return [];
        }
        if (count($operations) > 1000) {
            throw new InvalidArgumentException('batch: more than 1,000 operations');
        }
        $list = array_map([self::class, 'operation'], array_values($operations));
        $answer = $this->call('POST', '/batch', Check::json(['operations' => $list]), 'application/json');
        if (!is_array($answer['results'] ?? null) || count($answer['results']) !== count($list)) {
            throw $this->unclear('an answer without a result for each operation');
        }
        return $answer['results'];
    }

    private static function operation(array $operation): array
    {
        $targets = array_intersect_key($operation, ['connection' => 0, 'user' => 0, 'channel' => 0]);
        $deeds = array_intersect_key($operation, ['message' => 0, 'close' => 0]);
        $exclude = $operation['exclude'] ?? null;
        if (count($targets) !== 1 || count($deeds) !== 1 || count($operation) - (int) array_key_exists('exclude', $operation) !== 2
            || ($exclude !== null && !isset($targets['channel'])) || (isset($deeds['close']) && isset($targets['channel']))) {
            throw new InvalidArgumentException('batch: an operation has one of connection, user and channel, and one of message and '
                . 'close; exclude only beside channel, and close not');
        }
        $checks = ['connection' => 'id', 'user' => 'user', 'channel' => 'channel'];
        $check = [Check::class, $checks[key($targets)]];
        $result = [key($targets) => $check((string) current($targets))];
        if ($exclude !== null) {
            $result['exclude'] = Check::id($exclude);
        }
        if (array_key_exists('close', $deeds)) {
            $closing = (array) $deeds['close'] + ['code' => 1000, 'reason' => ''];
            Check::closing((int) $closing['code'], (string) $closing['reason']);
            return $result + ['close' => ['code' => (int) $closing['code'], 'reason' => (string) $closing['reason']]];
        }
        [$body, $type] = self::body($deeds['message']);
        return $result + ($type === 'application/octet-stream' ? ['binary' => base64_encode($body)] : ['text' => $body]);
    }

    /**
     * What is sent of a message, and its type.
     *
     * @param mixed $message
     */
    private static function body($message): array
    {
        if ($message instanceof Binary) {
            return [$message->bytes, 'application/octet-stream'];
        }
        return is_string($message) ? [Check::text($message), 'text/plain; charset=utf-8'] : [Check::json($message), 'application/json'];
    }

    /** @param mixed $message */
    private function post(string $path, $message): ?array
    {
        [$body, $type] = self::body($message);
        return $this->call('POST', $path, $body, $type);
    }

    private function number(string $key, ?array $answer): int
    {
        if (!is_int($answer[$key] ?? null)) {
            throw $this->unclear("an answer without $key");
        }
        return $answer[$key];
    }

    /** A segment of a path. Dots are escaped too: "." and ".." mean something there. */
    private static function segment(string $s): string
    {
        return str_replace('.', '%2E', rawurlencode($s));
    }

    private static function query(array $values): string
    {
        return '?' . http_build_query($values, '', '&', PHP_QUERY_RFC3986);
    }

    private static function setting(string $name): ?string
    {
        foreach ([$_SERVER[$name] ?? '', getenv($name)] as $value) {
            if (is_string($value) && $value !== '') {
                return $value;
            }
        }
        return null;
    }

    /**
     * Makes a request. Null: the connection asked about is gone (410).
     */
    private function call(string $method, string $path, string $body = '', string $type = ''): ?array
    {
        if (strlen($body) > self::MAX_MESSAGE) {
            throw new InvalidArgumentException('a message, or a batch, of more than 1 MiB');
        }
        $head = "$method {$this->base}$path HTTP/1.1\r\nHost: {$this->host}\r\n";
        if ($this->tokenFile !== null) {
            $head .= 'Authorization: Bearer ' . self::token($this->tokenFile) . "\r\n";
        }
        $head .= $method === 'POST' ? "Content-Type: $type\r\nContent-Length: " . strlen($body) . "\r\n\r\n" : "\r\n";
        $deadline = microtime(true) + $this->timeout;
        [$status, $answer] = $this->exchange($head . $body, $method === 'GET', $deadline);
        if ($status === 204 || $status === 410) {
            return $status === 204 ? [] : null;
        }
        $decoded = json_decode($answer, true, 64);
        if ($status === 200 && is_array($decoded)) {
            return $decoded;
        }
        $text = is_string($decoded['error'] ?? null) ? $decoded['error'] : "the answer has status $status";
        if ($status === 401) {
            $text .= $this->tokenFile === null ? ' (no token file is named)' : " (shown: that in {$this->tokenFile})";
        }
        throw new ApiException("control API at {$this->address}: $text", $status, $status >= 400 && $status <= 499);
    }

    /** Sends a request and gives status and body of the answer. */
    private function exchange(string $request, bool $safe, float $deadline): array
    {
        while (true) { // twice at most, for the second connection is a new one
            $kept = $this->usable();
            if (!$kept) {
                $this->connect($deadline);
            }
            $taken = $this->write($request, $deadline);
            try {
                $answer = $this->read($deadline); // it may be refused before all of it was sent
                $this->used = microtime(true);
                return $answer;
            } catch (ApiException $e) {
                $this->disconnect();
                $begun = $this->buffer !== '';
                // A request that was not taken whole cannot have run.
                $again = !$begun && (!$taken || $safe);
                if (!$kept || !$again || microtime(true) >= $deadline) {
                    throw new ApiException($e->getMessage(), 0, !$taken);
                }
            }
        }
    }

    /** Whether the kept connection is there, ours, not too old and not closed by the other side. */
    private function usable(): bool
    {
        if ($this->socket === null) {
            return false;
        }
        if ($this->owner !== getmypid()) {
            $this->socket = null; // another process uses it; its end there is not ours to say
            return false;
        }
        if (microtime(true) - $this->used < self::KEEP && !$this->wait(true, 0.0)) {
            return true;
        }
        $this->disconnect(); // closed, or it says what nobody has asked for
        return false;
    }

    private function connect(float $deadline): void
    {
        $left = max(0.001, $deadline - microtime(true));
        $socket = self::quietly(function () use ($left, &$errno, &$text) {
            return stream_socket_client($this->remote, $errno, $text, $left);
        });
        if ($socket === false) {
            throw new ApiException("control API at {$this->address}: connecting: $text", 0, true);
        }
        stream_set_blocking($socket, false);
        $this->socket = $socket;
        $this->owner = getmypid();
    }

    private function disconnect(): void
    {
        if ($this->socket !== null && $this->owner === getmypid()) {
            fclose($this->socket);
        }
        $this->socket = null;
    }

    /** Writes all of it; false if the connection does not take that. */
    private function write(string $bytes, float $deadline): bool
    {
        $this->buffer = '';
        for ($at = 0; $at < strlen($bytes); $at += $n) {
            $n = self::quietly(function () use ($bytes, $at) {
                return fwrite($this->socket, substr($bytes, $at, 65536));
            });
            if ($n === false || ($n === 0 && !$this->wait(false, $deadline - microtime(true)))) {
                return false;
            }
        }
        return true;
    }

    /** Reads one answer, as strictly as HTTP/1.1 is written. */
    private function read(float $deadline): array
    {
        while (($end = strpos($this->buffer, "\r\n\r\n")) === false) {
            if (strlen($this->buffer) >= self::MAX_HEAD) {
                break;
            }
            $this->fill($deadline);
        }
        if ($end === false || $end + 4 > self::MAX_HEAD) {
            throw $this->unclear('an answer with a head of more than 16 KiB');
        }
        $lines = explode("\r\n", substr($this->buffer, 0, $end));
        if (preg_match('~\AHTTP/1\.1 ([2-5][0-9]{2}) ~', array_shift($lines) . ' ', $m) !== 1) {
            throw $this->unclear('no answer of HTTP/1.1');
        }
        $status = (int) $m[1];
        $fields = [];
        foreach ($lines as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $name = strtolower($name);
            $fields[$name] = isset($fields[$name]) ? $fields[$name] . ', ' . trim($value) : trim($value);
        }
        $at = $end + 4;
        $length = $fields['content-length'] ?? null;
        $chunked = isset($fields['transfer-encoding']);
        if ($status === 204) {
            $body = '';
        } elseif ($chunked && $length === null && strtolower($fields['transfer-encoding']) === 'chunked') {
            $body = $this->chunks($at, $deadline);
        } elseif (!$chunked && $length !== null && preg_match('/\A[0-9]{1,9}\z/', $length) === 1) {
            $body = $this->take($at, (int) $length, $deadline);
        } else {
            throw $this->unclear('an answer whose length is not clear');
        }
        if (strtolower($fields['connection'] ?? '') === 'close' || strlen($this->buffer) > $at) {
            $this->disconnect();
        }
        return [$status, $body];
    }

    /** Gives so many bytes of the buffer from $at on, and moves on. */
    private function take(int &$at, int $length, float $deadline): string
    {
        if ($at + $length > self::MAX_ANSWER) {
            throw $this->unclear('an answer of more than 16 MiB; ask for fewer by limit');
        }
        while (strlen($this->buffer) < $at + $length) {
            $this->fill($deadline);
        }
        $at += $length;
        return substr($this->buffer, $at - $length, $length);
    }

    private function chunks(int &$at, float $deadline): string
    {
        $body = '';
        do {
            while (($end = strpos($this->buffer, "\r\n", $at)) === false) {
                if (strlen($this->buffer) - $at > 1024) {
                    throw $this->unclear('a malformed chunk');
                }
                $this->fill($deadline);
            }
            if (preg_match('/\A[0-9A-Fa-f]{1,7}\z/', $line = substr($this->buffer, $at, $end - $at)) !== 1) {
                throw $this->unclear('a malformed chunk');
            }
            $at = $end + 2;
            $body .= $this->take($at, $size = (int) hexdec($line), $deadline);
            if ($this->take($at, 2, $deadline) !== "\r\n") { // behind the last there could be trailers
                throw $this->unclear('a malformed chunk');
            }
        } while ($size > 0);
        return $body;
    }

    /** Waits for more of the answer. */
    private function fill(float $deadline): void
    {
        if (!$this->wait(true, $deadline - microtime(true))) {
            throw $this->unclear('no whole answer within ' . $this->timeout . ' s');
        }
        $part = self::quietly(function () {
            return fread($this->socket, 65536);
        });
        if ($part === false || ($part === '' && feof($this->socket))) {
            throw $this->unclear($this->buffer === '' ? 'closed without an answer' : 'an answer cut short');
        }
        $this->buffer .= $part;
    }

    /** Waits until the socket can be read or written, or is at its end. */
    private function wait(bool $read, float $seconds): bool
    {
        $reads = $read ? [$this->socket] : [];
        $writes = $read ? [] : [$this->socket];
        $none = [];
        $seconds = max(0.0, $seconds);
        return (bool) self::quietly(function () use (&$reads, &$writes, &$none, $seconds) {
            return stream_select($reads, $writes, $none, (int) $seconds, (int) (fmod($seconds, 1) * 1e6));
        });
    }

    private function unclear(string $what): ApiException
    {
        $this->disconnect();
        return new ApiException("control API at {$this->address}: $what", 0, false);
    }

    /** Runs what warns about a lost connection, which exceptions here tell of. */
    private static function quietly(callable $work)
    {
        set_error_handler(static function (): bool {
            return true;
        });
        try {
            return $work();
        } finally {
            restore_error_handler();
        }
    }

    /** Reads the token, which is then kept nowhere. */
    private static function token(string $file): string
    {
        $token = self::quietly(static function () use ($file) {
            return file_get_contents($file, false, null, 0, 4097);
        });
        if ($token === false) {
            throw new ApiException("the token file $file cannot be read", 0, true);
        }
        $token = trim($token);
        if (preg_match('/\A[!-~]{32,4096}\z/', $token) !== 1) {
            throw new ApiException("the token file $file: want 32 or more visible ASCII characters", 0, true);
        }
        return $token;
    }
}

/** @internal */
final class Check
{
    public static function channel(string $name): string
    {
        if (preg_match('~\A(?!.*(?:\A|/)\.{0,2}(?:/|\z))[A-Za-z0-9_.:/@-]{1,200}\z~', $name) !== 1) {
            throw new InvalidArgumentException('a channel has a name of 1 to 200 characters of A-Z, a-z, 0-9 and _.:/@-, '
                . 'none of its segments empty, . or ..');
        }
        return $name;
    }

    public static function id(string $id): string
    {
        if (preg_match('/\A[0-9a-f]{32}\z/', $id) !== 1) {
            throw new InvalidArgumentException('the id of a connection has 32 lowercase hexadecimal digits');
        }
        return $id;
    }

    public static function user(string $user): string
    {
        if (preg_match('/\A[^\x00-\x1f\x7f]+\z/u', $user) !== 1 || strlen($user) > 16384) {
            throw new InvalidArgumentException('a user is UTF-8 without control characters, and not empty');
        }
        return $user;
    }

    public static function limit(int $limit): int
    {
        if ($limit < 1 || $limit > 1000) {
            throw new InvalidArgumentException("limit: want 1 to 1000, not $limit");
        }
        return $limit;
    }

    public static function closing(int $code, string $reason): void
    {
        if (!in_array($code, [1000, 1008, 1011, 1013], true) && ($code < 3000 || $code > 4999)) {
            throw new InvalidArgumentException("close: want 1000, 1008, 1011, 1013 or 3000 to 4999, not $code");
        }
        if (strlen($reason) > 123) {
            throw new InvalidArgumentException('close: a reason of more than 123 bytes');
        }
        self::text($reason);
    }

    public static function text(string $text): string
    {
        if (preg_match('//u', $text) !== 1) {
            throw new InvalidArgumentException('a text that is not UTF-8; what is binary can be any bytes');
        }
        return $text;
    }

    /** @param mixed $value */
    public static function json($value): string
    {
        return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }
}
