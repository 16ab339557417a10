<?php
// What the tests share: a row that fails is one line, and the script ends
// with 1.

declare(strict_types=1);

error_reporting(E_ALL);
set_error_handler(function (int $level, string $text, string $file, int $line): bool {
    throw new ErrorException($text, 0, $level, $file, $line);
});

$failures = 0;
$checks = 0;
register_shutdown_function(function () use (&$failures, &$checks): void {
    echo "$checks checks, $failures failed\n";
    if ($failures > 0 || $checks === 0) {
        exit(1);
    }
});

/** Fails unless both are the same. */
function check(string $name, $got, $want): void
{
    global $failures, $checks;
    $checks++;
    if ($got !== $want) {
        $failures++;
        echo "$name: got ", json_encode($got, JSON_INVALID_UTF8_SUBSTITUTE), ', want ', json_encode($want, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
    }
}

/** Fails unless the work throws exactly this class. */
function refuses(string $name, string $class, callable $work): void
{
    try {
        $work();
        $got = 'nothing thrown';
    } catch (Throwable $e) {
        $got = get_class($e);
    }
    check($name, $got, $class);
}
