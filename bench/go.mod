module ws-fpm/bench

go 1.26.0
