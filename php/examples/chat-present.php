<?php
// Who is in the chat, in a file. A real site has that in its database.

/**
 * Where it is written down who is there. Without CHAT_DIR that is a directory of
 * ours below the one for temporary files, where others could have made one of
 * that name before, or a link, to read along or to have us write elsewhere.
 */
function chat_dir(): string
{
    $dir = getenv('CHAT_DIR');
    if ($dir !== false && $dir !== '') {
        return $dir;
    }
    $us = fstat(tmpfile())['uid']; // who owns what is new
    $dir = sys_get_temp_dir() . '/ws-fpm-chat-' . $us;
    @mkdir($dir, 0700); // most often it is there
    clearstatcache();
    $found = @lstat($dir);
    if ($found === false || ($found['mode'] & 0170077) !== 0040000 || $found['uid'] !== $us) {
        throw new RuntimeException("$dir is not a directory for us alone: see CHAT_DIR");
    }
    return $dir;
}

/** Changes who is there: connection id => name, room and boot. One at a time; n counts the changes. */
function present(callable $change): array
{
    $file = fopen(chat_dir() . '/ws-fpm-chat.json', 'c+');
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
