module github.com/openbao/go-kms-wrapping/wrappers/kmip/v2

go 1.24.6

require github.com/openbao/go-kms-wrapping/v2 v2.5.0
