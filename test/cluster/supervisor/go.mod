module gatehouse.test/supervisor

go 1.26.0
