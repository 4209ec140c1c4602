module gatehouse.test/workload

go 1.26.0
