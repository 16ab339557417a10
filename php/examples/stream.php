<?php
// Answers bit by bit, as a language model would, until it is done or the
// client sends another message: "stop", or the next question.
//
//     [route /ws]
//     script = /path/to/examples/stream.php

require_once __DIR__ . '/../WsFpm.php';

function answer(string $question): Generator
{
    try {
        foreach (explode(' ', "You asked: $question. Here is one word after the other, and there are many of them.") as $n => $word) {
            yield ['n' => $n, 'word' => $word];
            usleep(200000); // here a real one would wait for its next word
        }
    } finally {
        // Also when nobody wants the rest: here a real one would hang up.
    }
    yield ['done' => true];
}

(new WsFpm\Script)
    ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        if ($event->body === 'stop') {
            $reply->json(['stopped' => true]); // the stream has ended already
        } else {
            $reply->stream(answer($event->body))->interruptible();
        }
    })
    ->run();
