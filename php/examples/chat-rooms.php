<?php
// What the chat's scripts share: which rooms there are and whom for, who is
// signed in, and who is there. A real site asks its database all of that.

const ROOMS = ['lobby' => null, 'garden' => null, 'staff' => ['ada', 'grace']]; // null: for everybody

function may_enter(?string $name, string $room): bool
{
    return $name !== null && array_key_exists($room, ROOMS) && in_array(strtolower($name), ROOMS[$room] ?? [strtolower($name)], true);
}

/** Reads the session without keeping its lock, for others of this visitor would wait for it. */
function visitor(): ?string
{
    $_SESSION = [];
    if (isset($_COOKIE[session_name()])) {
        session_start(['read_and_close' => true]);
    }
    return $_SESSION['name'] ?? null;
}

/** Changes who is there: connection id => name, room and boot. One at a time; n counts the changes. */
function present(callable $change): array
{
    $file = fopen((getenv('CHAT_DIR') ?: sys_get_temp_dir()) . '/ws-fpm-chat.json', 'c+');
    if ($file === false || !flock($file, LOCK_EX)) { // released when the file is closed
        throw new RuntimeException('who is there cannot be written down: see CHAT_DIR');
    }
    $state = json_decode(stream_get_contents($file), true) ?? ['n' => 0, 'here' => []];
    $state = ['n' => $state['n'] + 1, 'here' => $change($state['here'])];
    rewind($file);
    fwrite($file, json_encode($state, JSON_THROW_ON_ERROR));
    ftruncate($file, ftell($file));
    fclose($file);
    return $state;
}
