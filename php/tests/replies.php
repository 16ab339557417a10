<?php
// Script and Reply as a web server sees them: php-cgi runs script.php with the
// params of an event, and the test reads status, headers, body and error log.

declare(strict_types=1);

require __DIR__ . '/check.php';

/** Runs one event; gives status, WS-* and other interesting headers, body, and the lines of the log. */
function run(string $case, array $params, string $body, array $settings): array
{
    $event = $params['WS_EVENT'] ?? '';
    $env = $params + [
        'CASE' => $case, 'REDIRECT_STATUS' => '200', 'SCRIPT_FILENAME' => __DIR__ . '/script.php', 'WS_EVENTS' => $event,
        'REQUEST_METHOD' => $event === 'message' ? 'POST' : 'GET', 'CONTENT_LENGTH' => (string) strlen($body), 'CONTENT_TYPE' => 'text/plain',
        'HTTP_ACCEPT_ENCODING' => 'gzip', 'WS_ROUTE' => '/ws', 'WS_SUBPROTOCOLS' => 'v1, chat', 'WS_OPCODE' => 'text',
    ];
    $command = ['php-cgi', '-n', '-d', 'memory_limit=16M', '-d', 'log_errors=0', '-d', 'html_errors=0'];
    foreach ($settings as $setting) {
        array_push($command, '-d', $setting);
    }
    $log = tmpfile();
    $process = proc_open($command, [['pipe', 'r'], ['pipe', 'w'], $log], $pipes, null, array_filter($env, 'is_string'));
    fwrite($pipes[0], $body);
    fclose($pipes[0]);
    $out = stream_get_contents($pipes[1]);
    proc_close($process);
    rewind($log);
    $lines = array_values(array_filter(explode("\n", stream_get_contents($log)), 'strlen'));

    [$head, $content] = explode("\r\n\r\n", $out, 2) + [1 => ''];
    $status = 200;
    $headers = [];
    foreach (explode("\r\n", $head) as $line) {
        [$name, $value] = array_map('trim', explode(':', $line, 2));
        if ($name === 'Status') {
            $status = (int) $value;
        } elseif (preg_match('/^(WS-|Sec-|Set-Cookie|Content-Encoding)/i', $name)) {
            $headers[] = "$name: $value";
        }
    }
    sort($headers);
    return [$status, $headers, $content, $lines];
}

$connect = ['WS_EVENT' => 'connect'];
$message = ['WS_EVENT' => 'message'];
$text = ['WS-Opcode: text'];
$none = [];
// case, params, body; then status, headers, body, and what the log's one line has
$rows = [
    ['nothing', $connect, '', 403, $none, '', null],
    ['accept', $connect, '', 200, ['Sec-WebSocket-Protocol: chat', 'WS-Accept: yes', 'WS-Expire: 60', 'WS-Opcode: text', 'WS-Set-ROOM-ID: r2', 'WS-User: 42'], 'welcome', null],
    ['accept with cookie', $connect, '', 200, ['Set-Cookie: a=b', 'WS-Accept: yes'], '', null],
    ['accept and close', $connect, '', 200, ['WS-Accept: yes', 'WS-Close: 4401 sign in'], '', null],
    ['close without accept', $connect, '', 403, $none, '', null],
    ['first message without accept', $connect, '', 403, $none, '', null],
    ['reject', $connect, '', 401, $none, '{"why":"who are you"}', null],
    ['accept, then reject', $connect, '', 401, $none, 'no', null],
    ['accept, then throw', $connect, '', 500, $none, '', 'RuntimeException: line one line two in '],
    ['accept, then a type error', $connect, '', 500, $none, '', 'TypeError: '],
    ['accept, then die', $connect, '', 200, $none, 'db down', null],
    ['accept, then out of memory', $connect, '', 500, $none, '', 'Allowed memory size'],
    ['accept, then a parse error', $connect, '', 500, $none, '', 'ParseError: '],
    ['accept, then another WS-Accept', $connect, '', 500, $none, '', 'Exception: no in '],
    ['an injected user', $connect, '', 500, $none, '', 'InvalidArgumentException: WS-User: '],
    ['nothing', $message, 'x', 200, $none, '', null],
    ['echo', $message, "grüße\r\n", 200, $text, "grüße\r\n", null],
    ['echo', $message, '', 200, $text, '', null],
    ['echo', $message + ['CONTENT_LENGTH' => '4'], 'abc', 500, $none, '', 'the message was cut: 3 bytes of 4'],
    ['echo', $message + ['WS_OPCODE' => 'binary'], "\0\xff\r\n", 200, ['WS-Opcode: binary'], "\0\xff\r\n", null],
    ['json', $message, '', 200, $text, '{"ä":"/","n":1.5}', null],
    ['prints', $message, '', 200, $text, 'x', 'printed and not sent: Notice: more'],
    ['prints and flushes', $message, '', 200, $none, 'x', 'output has begun at '],
    ['buffers within buffers', $message, '', 200, $text, 'abc', null],
    ['unbind', $message, '', 200, ['WS-Set-A: ', 'WS-Set-B: ', 'WS-User: '], '', null],
    ['closes', $message, '', 200, ['WS-Close: 1000', 'WS-Opcode: text'], 'bye', null],
    ['forgets JSON', $message, '{', 500, $none, '', 'JsonException: '],
    ['dies', $message, '', 200, $none, 'db down', null],
    ['stream', $message, '', 200, ['WS-Interrupt: yes', 'WS-Opcode: text'],
        "data: a\n\ndata: \n\ndata: {\"b\":\"\\n\"}\n\ndata: 7\n\ndata: null\n\ndata: c\ndata: d\ndata: e\ndata: f\n\ndata:  g\n\nevent: ws-close\ndata: 4000 done\n\n", null],
    ['empty stream', $message, '', 200, $text, '', null],
    ['stream that throws at once', $message, '', 500, $none, '', 'Exception: early'],
    ['stream that throws', $message, '', 200, $text, "data: a\n\nevent: ws-close\ndata: 1011\n\n", 'Exception: late'],
    ['stream out of memory', $message, '', 200, $text, "data: a\n\nevent: ws-close\ndata: 1011\n\n", 'Allowed memory size'],
    ['stream that prints', $message, '', 200, $text, "data: a\n\ndata: b\n\n", 'printed and not sent: data: '],
    ['stream of what is no text', $message, '', 200, $text, "data: a\n\nevent: ws-close\ndata: 1011\n\n", 'not UTF-8'],
    ['stream that closes', $message, '', 200, $text, "data: a\n\nevent: ws-close\ndata: 4002 enough\n\n", null],
    ['stream that binds too late', $message, '', 200, $text, "data: a\n\nevent: ws-close\ndata: 1011\n\n", 'user: the headers have left'],
    ['listens', $message, '', 200, ['WS-Opcode: text', 'WS-Subscribe: a, room:1, c', 'WS-Unsubscribe: b, d'], 'x', null],
    ['listens to nothing more', $message, '', 200, ['WS-Subscribe: a', 'WS-Unsubscribe: *'], '', null],
    ['lists of none', $message, '', 200, $text, 'x', null],
    ['publishes', $message, '', 200, ['WS-Opcode: text', 'WS-Publish: room:1, room:2'], 'x', null],
    ['publishes as well', $message, '', 200, ['WS-Opcode: text', 'WS-Publish: a; exclude=self; reply'], 'x', null],
    ['accepts and publishes', $connect, '', 200, ['WS-Accept: yes', 'WS-Opcode: text', 'WS-Publish: a', 'WS-Subscribe: a'], '{"came":1}', null],
    ['publishes without accept', $connect, '', 403, $none, '', null],
    ['publishes a stream', $message, '', 200, ['WS-Opcode: text', 'WS-Publish: a'], "data: b\n\n", null],
    ['publishes nothing', $message, '', 500, $none, '', 'publish: without a message'],
    ['excludes from nothing', $message, '', 500, $none, '', 'without publish'],
    ['says that it left', ['WS_EVENT' => 'disconnect'], '', 200, ['WS-Opcode: text', 'WS-Publish: a'], 'left', null],
    ['nothing', ['WS_EVENT' => 'disconnect'], '', 200, $none, '', null],
    ['nothing', ['WS_EVENT' => 'start', 'WS_EVENTS' => 'message,disconnect'], '', 200, $none, '', null],
    ['nothing', ['WS_EVENT' => 'start', 'WS_EVENTS' => 'message'], '', 500, $none, '', 'a handler for start, which'],
    ['nothing', $message + ['HANDLERS' => 'message,disconnect'], '', 500, $none, '', 'a handler for disconnect, which'],
    ['echo', $message + ['HANDLERS' => 'connect,message', 'WS_EVENTS' => 'message'], 'x', 500, $none, '', 'a handler for connect, which'],
    ['echo', $message + ['WS_EVENTS' => 'connect,message'], 'x', 200, $text, 'x', null],
    ['nothing', $connect + ['HANDLERS' => 'message', 'WS_EVENTS' => 'connect,message'], '', 500, $none, '', 'and there is no handler'],
    ['nothing', ['WS_EVENT' => 'disconnect', 'HANDLERS' => 'message', 'WS_EVENTS' => 'message,disconnect'], '', 200, $none, '', null],
    ['nothing', ['HTTP_WS_EVENT' => 'connect', 'HTTP_WS_ACCEPT' => 'yes'], '', 500, $none, '', 'there is no WS_EVENT'],
];
$php = [
    'as it comes' => [],
    'errors shown, buffered' => ['display_errors=1', 'output_buffering=4096'],
    'errors hidden, compressed' => ['display_errors=0', 'zlib.output_compression=1'],
];
foreach ($php as $how => $settings) {
    foreach ($rows as [$case, $params, $body, $status, $headers, $content, $line]) {
        if ($case === 'prints and flushes' && $how !== 'as it comes') {
            continue; // there its flush reaches another buffer only
        }
        $name = "$how, {$case} at " . ($params['WS_EVENT'] ?? 'no event');
        [$gotStatus, $gotHeaders, $gotContent, $lines] = run($case, $params, $body, $settings);
        check("$name: status", $gotStatus, $status);
        check("$name: headers", $gotHeaders, $headers);
        check("$name: body", $gotContent, $content);
        if ($case === 'stream that prints') {
            $lines = array_slice($lines, 0, 1); // one for each
        }
        check("$name: lines in the log", count($lines), $line === null ? 0 : 1);
        check("$name: log", $line === null || strpos($lines[0] ?? '', $line) !== false ?: $lines, true);
    }
}
