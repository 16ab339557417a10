<?php
// Event and Reply by themselves: what they tell, and what they refuse.

declare(strict_types=1);

require __DIR__ . '/check.php';
require __DIR__ . '/../WsFpm.php';

use WsFpm\Event;
use WsFpm\Reply;

$connect = new Event([
    'WS_EVENT' => 'connect', 'WS_EVENTS' => 'connect,message', 'WS_CONNECTION_ID' => 'ab', 'WS_EVENT_SEQ' => '0',
    'WS_ROUTE' => '/ws', 'WS_BOOT' => 'cd', 'WS_SUBPROTOCOLS' => 'chat, token.x',
]);
$message = new Event([
    'WS_EVENT' => 'message', 'WS_EVENTS' => 'connect,message', 'WS_EVENT_SEQ' => '7', 'WS_OPCODE' => 'text', 'WS_USER' => '42',
    'WS_SUBPROTOCOL' => 'chat', 'WS_ATTR_ROOM_ID' => 'r1', 'HTTP_WS_USER' => '1', 'HTTP_WS_EVENT' => 'connect',
], '{"a":{"b":[1,null]}}');
$gone = new Event([
    'WS_EVENT' => 'disconnect', 'WS_EVENTS' => 'disconnect', 'WS_CLOSE_CODE' => '1006', 'WS_CLOSE_REASON' => '', 'WS_CLOSE_BY' => 'none',
]);
$start = new Event(['WS_EVENT' => 'start', 'WS_EVENTS' => 'disconnect', 'WS_BOOT' => 'cd']);

// What an event tells.
check('connect', [$connect->event, $connect->id, $connect->seq, $connect->route, $connect->boot], ['connect', 'ab', 0, '/ws', 'cd']);
check('what connect has not', [$connect->opcode, $connect->user, $connect->subprotocol, $connect->closeCode, $connect->body], [null, null, null, null, '']);
check('offered', $connect->offered(), ['chat', 'token.x']);
check('nothing offered', $message->offered(), []);
check('message', [$message->event, $message->seq, $message->opcode, $message->user, $message->subprotocol], ['message', 7, 'text', '42', 'chat']);
check('json', $message->json(), ['a' => ['b' => [1, null]]]);
check('an attribute, by three names', [$message->attr('room-id'), $message->attr('ROOM_ID'), $message->attr('Room-Id')], ['r1', 'r1', 'r1']);
check('no such attribute', [$message->attr('x'), $message->attr('x', 'y')], [null, 'y']);
check('disconnect', [$gone->closeCode, $gone->closeReason, $gone->closeBy], [1006, '', 'none']);
check('start', [$start->id, $start->boot], [null, 'cd']);
check('isset', [isset($message->user), isset($connect->user), isset($message->server), isset($message->nothing)], [true, false, false, false]);
check('the route has', [$message->routeHas('connect'), $message->routeHas('disconnect'), $start->routeHas('start'), $message->routeHas('start')], [true, false, true, true]);
refuses('no WS_EVENT', LogicException::class, function () { new Event(['HTTP_WS_EVENT' => 'message']); });
refuses('a body that is no JSON', JsonException::class, function () { (new Event(['WS_EVENT' => 'message'], '{'))->json(); });
refuses('changing an event', LogicException::class, function () use ($message) { $message->user = '1'; });
refuses('adding to an event', LogicException::class, function () use ($message) { $message->admin = true; });
refuses('reading what is not there', LogicException::class, function () use ($message) { $message->usr; });
refuses('reading the whole environment', LogicException::class, function () use ($message) { $message->server; });
refuses('an attribute with a line end in its name', InvalidArgumentException::class, function () use ($message) { $message->attr("room\n"); });

// What would break a header, in every value that becomes one.
$fields = [
    'user' => function (string $v) use ($message) { (new Reply($message))->user($v); },
    'set' => function (string $v) use ($message) { (new Reply($message))->set('a', $v); },
    'close' => function (string $v) use ($message) { (new Reply($message))->close(4000, $v); },
    'accept' => function (string $v) use ($connect) { (new Reply($connect))->accept($v); },
    'type of reject' => function (string $v) use ($connect) { (new Reply($connect))->reject(403, '', $v); },
];
$attacks = ['CR LF' => "a\r\nWS-Accept: yes", 'LF' => "a\nb", 'CR' => "a\rb", 'NUL' => "a\0b", 'ESC' => "a\x1bb", 'DEL' => "a\x7fb", 'LF at the end' => "a\n", 'LF alone' => "\n",
    // A header does not keep these: ' admin' would come back as 'admin'.
    'a space in front' => ' a', 'a tab at the end' => "a\t"];
foreach ($fields as $field => $use) {
    foreach ($attacks as $attack => $value) {
        refuses("$attack in $field", InvalidArgumentException::class, function () use ($use, $value) { $use($value); });
    }
}
foreach (['', 'a b', 'a:b', "a\n", "a\0", 'ä', 'a: x'] as $name) {
    refuses('attribute named ' . json_encode($name), InvalidArgumentException::class, function () use ($message, $name) { (new Reply($message))->set($name, 'v'); });
}

// Borders.
foreach ([1000 => true, 1001 => false, 1005 => false, 1006 => false, 1008 => true, 1011 => true, 1012 => false, 1013 => true, 1014 => false, 1015 => false, 2999 => false, 3000 => true, 4999 => true, 5000 => false, 0 => false, -1 => false] as $code => $good) {
    refuses("close with $code", $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($message, $code) { (new Reply($message))->close($code); });
}
foreach ([122 => true, 123 => true, 124 => false] as $length => $good) {
    refuses("a reason of $length bytes", $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($message, $length) { (new Reply($message))->close(4000, str_repeat('x', $length)); });
}
foreach ([-1 => false, 0 => false, 1 => true, 315360000 => true, 315360001 => false] as $seconds => $good) {
    refuses("expire after $seconds", $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($message, $seconds) { (new Reply($message))->expire($seconds); });
}
foreach ([101 => false, 200 => false, 299 => false, 300 => true, 403 => true, 599 => true, 600 => false] as $status => $good) {
    refuses("reject with $status", $good ? 'nothing thrown' : InvalidArgumentException::class, function () use ($connect, $status) { (new Reply($connect))->reject($status); });
}
refuses('a text that is not UTF-8', InvalidArgumentException::class, function () use ($message) { (new Reply($message))->send("\xff"); });
refuses('a reason that is not UTF-8', InvalidArgumentException::class, function () use ($message) { (new Reply($message))->close(4000, "\xff"); });
refuses('JSON of what has none', JsonException::class, function () use ($message) { (new Reply($message))->json(NAN); });
refuses('a subprotocol that was not offered', InvalidArgumentException::class, function () use ($connect) { (new Reply($connect))->accept('other'); });

// What makes no sense.
$nonsense = [
    'accept' => [$message, $gone, $start],
    'reject' => [$message, $gone, $start],
    'send' => [$gone, $start],
    'json' => [$gone, $start],
    'binary' => [$gone, $start],
    'stream' => [$connect, $gone, $start],
    'interruptible' => [$connect, $gone, $start],
    'close' => [$gone, $start],
    'subscribe' => [$gone, $start],
    'unsubscribe' => [$connect, $gone, $start],
    'publish' => [$start],
    'excludeSelf' => [$start],
    'alsoReply' => [$gone, $start],
    'user' => [$gone, $start],
    'set' => [$gone, $start],
    'expire' => [$gone, $start],
];
$arguments = ['publish' => ['x'], 'send' => ['x'], 'json' => [1], 'binary' => ['x'], 'stream' => [['x']], 'user' => ['x'], 'set' => ['a', 'b'], 'expire' => [1]];
foreach ($nonsense as $method => $events) {
    foreach ([$connect, $message, $gone, $start] as $event) {
        $want = in_array($event, $events, true) ? LogicException::class : 'nothing thrown';
        refuses("$method at {$event->event}", $want, function () use ($event, $method, $arguments) {
            (new Reply($event))->$method(...($arguments[$method] ?? []));
        });
    }
}
refuses('two messages in a reply', LogicException::class, function () use ($message) { (new Reply($message))->send('a')->send('b'); });
refuses('a message and a stream', LogicException::class, function () use ($message) { (new Reply($message))->json(1)->stream([]); });
refuses('accept after reject', LogicException::class, function () use ($connect) { (new Reply($connect))->reject()->accept(); });
refuses('a second handler', LogicException::class, function () {
    (new WsFpm\Script)->message('strlen')->message('strlen');
});

// Names of channels, wherever one is said.
$names = [
    'a' => true, 'room:1/x@y.z-_' => true, '...' => true, '.a' => true, 'a/b' => true, str_repeat('x', 200) => true, str_repeat('x', 201) => false,
    '' => false, '*' => false, 'a b' => false, 'a,b' => false, 'a;reply' => false, 'a; exclude=self' => false, "a\n" => false, "a\r\nWS-Close: 4000" => false, "a\0" => false,
    '.' => false, '..' => false, '/a' => false, 'a/' => false, 'a//b' => false, 'a/./b' => false, 'a/../b' => false, 'a/..' => false, '../a' => false, 'ä' => false, "\xff" => false,
];
$api = new WsFpm\Api('unix:/nowhere');
foreach ($names as $name => $good) {
    $name = (string) $name;
    $shown = json_encode(substr($name, 0, 20), JSON_INVALID_UTF8_SUBSTITUTE);
    foreach (['subscribe', 'unsubscribe', 'publish'] as $method) {
        $want = $good || ($name === '*' && $method === 'unsubscribe') ? 'nothing thrown' : InvalidArgumentException::class;
        refuses("$method $shown", $want, function () use ($message, $method, $name) { (new Reply($message))->$method('fine', $name); });
    }
    $want = $good ? WsFpm\ApiException::class : InvalidArgumentException::class; // for there is nobody to connect to
    refuses("to publish to $shown", $want, function () use ($api, $name) { $api->publish($name, 'x'); });
    refuses("who listens to $shown", $want, function () use ($api, $name) { $api->channel($name); });
    refuses("a batch for $shown", $want, function () use ($api, $name) { $api->batch([['channel' => $name, 'message' => 'x']]); });
}
refuses('to publish to no channel', InvalidArgumentException::class, function () use ($message) { (new Reply($message))->publish(...[]); });
refuses('at disconnect a message for nobody', LogicException::class, function () use ($gone) { (new Reply($gone))->send('x'); });
refuses('at disconnect a message for others', 'nothing thrown', function () use ($gone) { (new Reply($gone))->publish('a')->json(['left' => 1]); });
check('channels', (new Event(['WS_EVENT' => 'message', 'WS_CHANNELS' => 'room:1,news']))->channels(), ['room:1', 'news']);
check('no channels', $message->channels(), []);
