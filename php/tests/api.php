<?php
// Api by itself: what it asks, what it makes of answers, and when it asks
// again. peer.php answers.

declare(strict_types=1);

require __DIR__ . '/check.php';
require __DIR__ . '/../WsFpm.php';

use WsFpm\Api;
use WsFpm\ApiException;
use WsFpm\Binary;

/** Runs the work against a plan of answers; gives its result, or the exception's class, code and notDone(), and the requests. */
function against(array $plan, callable $work, float $timeout = 10.0, ?string $tokenFile = null, string $prefix = ''): array
{
    $process = proc_open([PHP_BINARY, '-n', __DIR__ . '/peer.php', 'tcp://127.0.0.1:0'], [['pipe', 'r'], ['pipe', 'w'], STDERR], $pipes);
    fwrite($pipes[0], serialize($plan));
    fclose($pipes[0]);
    $address = trim(fgets($pipes[1]));
    try {
        $result = $work(new Api("http://$address$prefix", $tokenFile, $timeout));
    } catch (ApiException $e) {
        $result = ['ApiException', $e->getCode(), $e->notDone(), $e->getMessage()];
    }
    proc_terminate($process);
    $requests = array_map('json_decode', array_filter(explode("\n", stream_get_contents($pipes[1])), 'strlen'));
    proc_close($process);
    return [$result, str_replace($address, 'HOST', json_encode($requests)), count($requests)];
}

function ok(string $json, string $more = ''): string
{
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{$more}Content-Length: " . strlen($json) . "\r\n\r\n$json";
}

const DONE = "HTTP/1.1 204 No Content\r\n\r\n";
const GONE = "HTTP/1.1 410 Gone\r\nContent-Length: 15\r\n\r\n{\"error\":\"id\"}\n";
const REFUSED = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 19\r\n\r\n{\"error\":\"a token\"}";
$id = str_repeat('0a', 16);
$head = function (string $line, string $more = ''): string { return "$line HTTP/1.1\r\nHost: HOST" . $more; };
$post = function (string $line, string $type, string $body) use ($head): array {
    return [$head("POST $line", "\r\nContent-Type: $type\r\nContent-Length: " . strlen($body)), $body];
};
const TEXT = 'text/plain; charset=utf-8';

// Each method: what is asked, and what comes of it. One connection serves all.
$calls = [
    ['send', [$id, 'grüße'], DONE, true, $post("/connections/$id", TEXT, 'grüße')],
    ['send', [$id, new Binary("a\0\n")], DONE, true, $post("/connections/$id", 'application/octet-stream', "a\0\n")],
    ['send', [$id, ['ä' => 1]], GONE, false, $post("/connections/$id", 'application/json', '{"ä":1}')],
    ['publish', ['room:1/a.b', ''], ok('{"delivered":3}'), 3, $post('/channels/room%3A1%2Fa%2Eb', TEXT, '')],
    ['publish', ['a', 'x', $id], ok('{"delivered":0}'), 0, $post("/channels/a?exclude=$id", TEXT, 'x')],
    ['sendToUser', ['Ada & /Bob?#%', 'x'], ok('{"delivered":1}'), 1, $post('/users/Ada%20%26%20%2FBob%3F%23%25', TEXT, 'x')],
    ['sendToUser', ['..', 'x'], ok('{"delivered":1}'), 1, $post('/users/%2E%2E', TEXT, 'x')],
    ['close', [$id, 4001, 'b=1&c d'], DONE, true, [$head("DELETE /connections/$id?code=4001&reason=b%3D1%26c%20d"), '']],
    ['close', [$id], GONE, false, [$head("DELETE /connections/$id?code=1000&reason="), '']],
    ['closeUser', ['42'], ok('{"closed":2}'), 2, [$head('DELETE /users/42?code=1000&reason='), '']],
    ['connection', [$id], ok('{"id":"x"}'), ['id' => 'x'], [$head("GET /connections/$id"), '']],
    ['connection', [$id], GONE, null, [$head("GET /connections/$id"), '']],
    ['connections', [], ok('{"connections":[],"total":0}'), ['connections' => [], 'total' => 0], [$head('GET /connections?limit=100'), '']],
    ['connections', ['4 2', 'a:b', 7], ok('{"total":1}'), ['total' => 1], [$head('GET /connections?limit=7&user=4%202&channel=a%3Ab'), '']],
    ['channels', ['ro&', 1], ok('{"total":1}'), ['total' => 1], [$head('GET /channels?prefix=ro%26&limit=1'), '']],
    ['channel', ['a/b'], ok('{"total":1}'), ['total' => 1], [$head('GET /channels/a%2Fb?limit=100'), '']],
    ['batch', [[['channel' => 'a', 'message' => 'x', 'exclude' => $id], ['user' => '4', 'message' => new Binary("\0\xff")], ['connection' => $id, 'message' => [1]],
        ['connection' => $id, 'close' => ['code' => 4000]]]], ok('{"results":[{},{},{},{}]}'), [[], [], [], []],
        $post('/batch', 'application/json', '{"operations":[{"channel":"a","exclude":"' . $id . '","text":"x"},{"user":"4","binary":"AP8="},{"connection":"' . $id . '","text":"[1]"},'
            . '{"connection":"' . $id . '","close":{"code":4000,"reason":""}}]}')],
];
[$results, $requests] = against([array_merge(array_column($calls, 2), [true])], function (Api $api) use ($calls) {
    return array_map(function (array $call) use ($api) { return $api->{$call[0]}(...$call[1]); }, $calls);
});
$requests = json_decode($requests, true);
foreach ($calls as $n => [$method, , , $result, $request]) {
    check("call $n, {$method}", [$results[$n], $requests[$n]], [$result, $request]);
}
check('a batch of nothing asks nothing', against([], function (Api $api) { return $api->batch([]); }), [[], '[]', 0]);

// Answers as they are cut, and as they should not be.
$asks = function (Api $api) use ($id) { return $api->connection($id); };
$chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\nA\r\n:\"x\",\"y\":1\r\n1\r\n}\r\n0\r\n\r\n";
foreach (['length' => ok('{"id":"x","y":1}'), 'chunks' => $chunked] as $how => $whole) {
    check("an answer with $how", against([[$whole]], $asks)[0], ['id' => 'x', 'y' => 1]);
    check("an answer with $how, byte by byte", against([[str_split($whole)]], $asks)[0], ['id' => 'x', 'y' => 1]);
    $plan = array_map(function (int $n) use ($whole) { return [substr($whole, 0, $n)]; }, range(0, strlen($whole) - 1));
    $outcomes = against($plan, function (Api $api) use ($plan, $asks) {
        return array_map(function () use ($api, $asks) {
            try {
                return $asks($api);
            } catch (ApiException $e) {
                return [$e->getCode(), $e->notDone()];
            }
        }, $plan);
    }, 60.0);
    check("an answer with $how, cut anywhere", $outcomes[0], array_fill(0, count($plan), [0, false]));
    check("an answer with $how, cut anywhere, is asked for once", $outcomes[2], count($plan));
}
$wrong = [
    'HTTP/1.0' => str_replace('HTTP/1.1', 'HTTP/1.0', ok('{}')),
    'no HTTP' => "220 mail.example ESMTP\r\n\r\n",
    '100' => "HTTP/1.1 100 Continue\r\n\r\n" . ok('{}'),
    'no length' => "HTTP/1.1 200 OK\r\n\r\n{}",
    'two lengths' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    'a length and chunks' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    'a length with a sign' => "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    'a giant length' => "HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n{}",
    'a giant chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n{}",
    'a malformed chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\n\r\n",
    'a chunk longer than it says' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    'an endless head' => 'HTTP/1.1 200 OK' . str_repeat("\r\nA: " . str_repeat('x', 999), 20),
    'a chunk without end' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . str_repeat('1', 2000),
];
foreach ($wrong as $name => $answer) {
    check("an answer that is $name", array_slice((array) against([[$answer, true]], $asks)[0], 0, 3), ['ApiException', 0, false]);
}
// Borders, with the head and the chunks' own lines counted.
$padded = function (int $head): string {
    $start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: ";
    return $start . str_repeat('x', $head - strlen($start) - 4) . "\r\n\r\n{}";
};
$filled = function (int $all): string {
    $head = "HTTP/1.1 200 OK\r\nContent-Length: " . ($all - 45) . "\r\n\r\n";
    return $head . '{"a":"' . str_repeat('x', $all - strlen($head) - 8) . '"}';
};
check('the helper counts well', [strpos($padded(16384), "\r\n\r\n") + 4, strlen($filled(16777216)), strpos($filled(16777216), '{')], [16384, 16777216, 45]);
check('a head of 16 KiB', against([[$padded(16384)]], $asks)[0], []);
check('a head of 16 KiB and 1', strpos(against([[$padded(16385)]], $asks)[0][3], 'a head of more than 16 KiB') > 0, true);
check('an endless head', strpos(against([[$wrong['an endless head'], true]], $asks, 1.0)[0][3], 'a head of more than 16 KiB') > 0, true);
check('an answer of 16 MiB', strlen(against([[$filled(16777216)]], $asks)[0]['a'] ?? ''), 16777216 - 45 - 8);
check('an answer of 16 MiB and 1', strpos(against([[$filled(16777217)]], $asks)[0][3], 'more than 16 MiB') > 0, true);
check('a giant chunk', strpos(against([[$wrong['a giant chunk'], true]], $asks, 1.0)[0][3], 'more than 16 MiB') > 0, true);
$refusals = [
    'a server error' => ["HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, false],
    'no such path' => ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, true],
    'a redirection' => ["HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", 302, false],
    '200 without JSON' => [ok('hello'), 200, false],
    'a refused token' => [REFUSED, 401, true],
];
foreach ($refusals as $name => [$answer, $code, $notDone]) {
    check($name, array_slice((array) against([[$answer]], $asks)[0], 0, 3), ['ApiException', $code, $notDone]);
}
check('a number that is none', array_slice(against([[ok('{"delivered":"3"}')]], function (Api $api) { return $api->publish('a', 'x'); })[0], 0, 3), ['ApiException', 0, false]);
[$result, , $n] = against([['', true]], $asks, 0.2);
check('nobody answers in time', array_slice($result, 0, 3), ['ApiException', 0, false]);

// A connection that was kept, and what is asked again.
$twice = function (string $method, ...$arguments): callable {
    return function (Api $api) use ($method, $arguments) {
        $first = $api->$method(...$arguments);
        usleep(50000); // so that a close has arrived
        try {
            return [$first, $api->$method(...$arguments)];
        } catch (ApiException $e) {
            return [$first, [$e->getCode(), $e->notDone()]];
        }
    };
};
$sends = $twice('send', $id, 'x');
check('kept: one connection for two calls', against([[DONE, DONE]], $sends)[0], [true, true]);
check('closed meanwhile: another one', against([[DONE], [DONE]], $sends)[0], [true, true]);
check('the answer said close: another one', against([[ok('{"delivered":1}', "Connection: close\r\n"), true], [ok('{"delivered":1}')]], $twice('publish', 'a', 'x'))[0], [1, 1]);
check('more than an answer: another one', against([[ok('{"delivered":1}') . 'HTTP', true], [ok('{"delivered":1}')]], $twice('publish', 'a', 'x'))[0], [1, 1]);
[$result, , $n] = against([[DONE, ''], [DONE]], $sends);
check('closed when all of it was taken: a message is not sent again', [$result, $n], [[true, [0, false]], 2]);
[$result, , $n] = against([[ok('{"id":1}'), ''], [ok('{"id":2}')]], $twice('connection', $id));
check('closed when all of it was taken: a question is asked again', [$result, $n], [[['id' => 1], ['id' => 2]], 3]);
[$result, , $n] = against([[ok('{"id":1}'), ''], [''], [ok('{"id":3}')]], $twice('connection', $id));
check('and once', [$result, $n], [[['id' => 1], [0, false]], 3]);
[$result, , $n] = against([[ok('{"id":1}'), 'HTTP'], [ok('{"id":2}')]], $twice('connection', $id));
check('not after the first byte of an answer', [$result, $n], [[['id' => 1], [0, false]], 2]);
[$result, , $n] = against([[ok('{"closed":1}'), ''], [ok('{"closed":1}')]], $twice('closeUser', '42'));
check('to close is not asked again', [$result, $n], [[1, [0, false]], 2]);
check('nobody there', array_slice(against([], function () { return (new Api('unix:/nowhere'))->send(str_repeat('0', 32), 'x'); })[0], 0, 3), ['ApiException', 0, true]);
$forked = function (Api $api) use ($id) {
    $api->send($id, 'x');
    $owner = new ReflectionProperty(Api::class, 'owner');
    $owner->setAccessible(true);
    $owner->setValue($api, 1); // as it is for a child that was forked
    return $api->send($id, 'y');
};
check('a forked process has a connection of its own', against([[DONE, true], [DONE]], $forked)[0], true);

// The token.
$file = tempnam(sys_get_temp_dir(), 'ws-fpm-token');
$token = str_repeat('s3cret', 6);
file_put_contents($file, "$token\n");
[$result, $requests] = against([[DONE]], $sends, 10.0, $file, '/base');
check('the token is shown', strpos($requests, 'Authorization: Bearer ' . $token) !== false && strpos($requests, 'POST \/base\/connections\/') !== false, true);
[$result] = against([[REFUSED]], $sends, 10.0, $file);
check('a refused token is not told', strpos(json_encode($result) . print_r(new Api('/x', $file), true), $token), false);
foreach (['short' => 'abc', 'two lines' => "$token\n$token", 'a header' => "$token\r\nX: y", 'empty' => ''] as $name => $bad) {
    file_put_contents($file, $bad);
    check("a token that is $name", array_slice(against([], $sends, 10.0, $file)[0], 0, 3), ['ApiException', 0, true]);
}
unlink($file);
check('no such token file', array_slice(against([], $sends, 10.0, $file)[0], 0, 3), ['ApiException', 0, true]);

// Where it is.
$_SERVER['WS_API'] = '';
refuses('no address', LogicException::class, function () { new Api; });
putenv('WS_API=unix:/from/env');
refuses('of the environment', 'nothing thrown', function () { new Api; });
$_SERVER['WS_API'] = 'nonsense';
refuses('of $_SERVER, and nonsense', InvalidArgumentException::class, function () { new Api; });
foreach (['/a b' => true, 'unix:/a' => true, 'http://127.0.0.1:8081' => true, 'http://[::1]:8081/' => true, 'http://api.internal/base/' => true, 'unix:a' => false, 'unix:/' => false,
    '' => false, 'a' => false, 'https://a' => false, 'http://' => false, 'http://u:p@a' => false, 'http://a?token=x' => false, "http://a\r\nX: y" => false, 'ftp://a' => false, "/a\0b" => false] as $address => $good) {
    refuses("the address " . json_encode($address), $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($address) { new Api((string) $address); });
}
foreach (['0' => false, '0.001' => true, '300' => true, '300.1' => false, '-1' => false, 'NAN' => false] as $timeout => $good) {
    $seconds = $timeout === 'NAN' ? NAN : (float) $timeout;
    refuses("a timeout of $timeout", $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($seconds) { new Api('/a', null, $seconds); });
}

// What is not sent.
$api = new Api('unix:/nowhere');
$good = ApiException::class; // for there is nobody to connect to
$bad = InvalidArgumentException::class;
foreach ([
    ['an id of capitals', $bad, 'send', [strtoupper($id), 'x']], ['an id with a line end', $bad, 'send', ["$id\n", 'x']], ['a short id', $bad, 'connection', ['0a']],
    ['an id that is a path', $bad, 'close', ['../users/42']], ['no exclude', $bad, 'publish', ['a', 'x', '']],
    ['text that is none', $bad, 'send', [$id, "\xff"]], ['JSON that is none', JsonException::class, 'send', [$id, ["\xff"]]],
    ['1 MiB', $good, 'send', [$id, str_repeat('x', 1 << 20)]], ['1 MiB and 1', $bad, 'send', [$id, str_repeat('x', (1 << 20) + 1)]],
    ['1 MiB and 1 of bytes', $bad, 'send', [$id, new Binary(str_repeat('x', (1 << 20) + 1))]],
    ['no user', $bad, 'sendToUser', ['', 'x']], ['a user with a line end', $bad, 'closeUser', ["4\n"]], ['a user that is not UTF-8', $bad, 'connections', ["\xff"]],
    ['a limit of 0', $bad, 'connections', [null, null, 0]], ['a limit of 1', $good, 'connections', [null, null, 1]],
    ['a limit of 1000', $good, 'channels', ['', 1000]], ['a limit of 1001', $bad, 'channel', ['a', 1001]],
    ['a code that is not ours', $bad, 'close', [$id, 1001]], ['a long reason', $bad, 'closeUser', ['4', 4000, str_repeat('x', 124)]], ['a reason of 123', $good, 'close', [$id, 4000, str_repeat('x', 123)]],
    ['1,000 operations', $good, 'batch', [array_fill(0, 1000, ['user' => '4', 'message' => 'x'])]], ['1,001 operations', $bad, 'batch', [array_fill(0, 1001, ['user' => '4', 'message' => 'x'])]],
    ['an operation for nobody', $bad, 'batch', [[['message' => 'x']]]], ['for two', $bad, 'batch', [[['user' => '4', 'channel' => 'a', 'message' => 'x']]]],
    ['of nothing', $bad, 'batch', [[['user' => '4']]]], ['of two things', $bad, 'batch', [[['user' => '4', 'message' => 'x', 'close' => []]]]],
    ['with a misspelt key', $bad, 'batch', [[['user' => '4', 'message' => 'x', 'exlude' => $id]]]], ['exclude without a channel', $bad, 'batch', [[['user' => '4', 'message' => 'x', 'exclude' => $id]]]],
    ['to close a channel', $bad, 'batch', [[['channel' => 'a', 'close' => []]]]], ['to close with 1005', $bad, 'batch', [[['user' => '4', 'close' => ['code' => 1005]]]]],
] as [$name, $class, $method, $arguments]) {
    refuses("to ask for $name", $class, function () use ($api, $method, $arguments) { $api->$method(...$arguments); });
}
refuses('a clone', LogicException::class, function () use ($api) { clone $api; });
