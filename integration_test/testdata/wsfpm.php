<?php
// Does what a test asks for with WsFpm.php: at connect by the query, at a
// message by its JSON. What nobody can be answered goes to files.
require __DIR__ . '/WsFpm.php';

use WsFpm\Event;
use WsFpm\Reply;

function told(Event $e): array
{
    return [
        'event' => $e->event, 'id' => $e->id, 'seq' => $e->seq, 'opcode' => $e->opcode, 'user' => $e->user,
        'room' => $e->attr('room-id'), 'subprotocol' => $e->subprotocol, 'offered' => $e->offered(),
        'closeCode' => $e->closeCode, 'closeReason' => $e->closeReason, 'closeBy' => $e->closeBy,
        'route' => $e->route, 'boot' => $e->boot,
    ];
}

function keep(string $file, Event $e): void
{
    file_put_contents(__DIR__ . "/var/$file", json_encode(told($e)) . "\n", FILE_APPEND | LOCK_EX);
}

(new WsFpm\Script)
    ->start(function (Event $e) { keep('start', $e); })
    ->disconnect(function (Event $e, Reply $r) {
        keep('gone', $e);
        if (in_array('room:1', $e->channels(), true)) {
            $r->publish('room:1')->json(['left' => $e->id]);
        }
    })
    ->connect(function (Event $e, Reply $r) {
        switch ($_GET['do'] ?? '') {
            case 'accept':
                setcookie('visitor', 'v1');
                $r->accept('chat')->user('42')->set('Room_Id', 'r/1 ü')->json(told($e));
                break;
            case 'quiet': $r->accept(); break;
            case 'close': $r->accept()->send('first')->close(4401, 'sign in'); break;
            case 'listen': $r->accept()->user($_GET['user'] ?? '1')->subscribe('room:1', 'news')->publish('room:1')->excludeSelf()->alsoReply()->json(['came' => $e->id]); break;
            case 'reject':
                header('WWW-Authenticate: Bearer');
                $r->reject(401, 'who are you');
                break;
            case 'expire': $r->accept()->expire(1); break;
            case 'throw': $r->accept()->user('1'); throw new Exception('on purpose');
            case 'die': $r->accept(); die('db down');
            case 'memory': $r->accept(); ini_set('memory_limit', '8M'); str_repeat('x', 1 << 30); break;
            case 'include': $r->accept(); include __DIR__ . '/parse_error.php'; break;
            case 'inject': $r->user("1\r\nWS-Accept: yes"); break;
        }
    })
    ->message(function (Event $e, Reply $r) {
        if ($e->opcode === 'binary') {
            $r->binary(strrev($e->body));
            return;
        }
        $do = $e->json();
        switch ($do['do']) {
            case 'tell': $r->json(told($e) + ['cookies' => $_COOKIE]); break;
            case 'send': $r->send($do['text']); break;
            case 'say': $r->publish(...$do['to'])->send($do['text']); break;
            case 'say to others': $r->send($do['text'])->publish(...$do['to'])->excludeSelf(); break;
            case 'move': $r->unsubscribe(...$do['from'])->subscribe(...$do['to'])->json($e->channels()); break;
            case 'push': // by way of the API, from within a message
                $api = new WsFpm\Api;
                $r->json([$api->publish('room:1', $do['text']), $api->send($e->id, 'to myself'), $api->connection($e->id)['channels']]);
                break;
            case 'nothing': echo 'printed, not sent'; break;
            case 'bind': $r->user($do['user'])->set('room_id', $do['room']); break;
            case 'close': $r->send('bye')->close(4002, 'ünough'); break;
            case 'expire': $r->expire(1); break;
            case 'stream':
                $r->stream((function () use ($do, $r) {
                    yield from $do['items'];
                    if (isset($do['close'])) $r->close($do['close'], 'end');
                    if (isset($do['throw'])) throw new Exception('late');
                })());
                break;
        }
    })
    ->run();
