// Stands for the client of a second factor's service, which alone takes longer to build than all the rest; every use of it fails.
package okta

import (
	"context"
	"errors"
	"net/http"
)

var errWithout = errors.New("okta is not part of this build")

type Configuration struct{ Context context.Context }

type Setter func(*Configuration)

func NewConfiguration(...Setter) (*Configuration, error) { return nil, errWithout }

func WithToken(string) Setter  { return nil }
func WithOrgUrl(string) Setter { return nil }
func WithCache(bool) Setter    { return nil }

type APIClient struct {
	UserAPI       users
	UserFactorAPI factors
}

func NewAPIClient(*Configuration) *APIClient { return &APIClient{} }

func (*APIClient) GetConfig() *Configuration { return &Configuration{Context: context.Background()} }

type call[A any] struct{}

func (c call[A]) Filter(string) call[A] { return c }

func (call[A]) Execute() (A, *http.Response, error) {
	var none A
	return none, nil, errWithout
}

type users struct{}

func (users) ListUsers(context.Context) call[[]User] { return call[[]User]{} }

type User struct{}

func (User) GetId() string { return "" }

type factors struct{}

func (factors) ListFactors(context.Context, string) call[[]Factor] { return call[[]Factor]{} }

func (factors) VerifyFactor(context.Context, string, string) call[Verified] { return call[Verified]{} }

func (factors) GetFactorTransactionStatus(context.Context, string, string, string) call[Transaction] {
	return call[Transaction]{}
}

type Factor struct{ UserFactorPush *UserFactorPush }

type UserFactorPush struct{}

func (*UserFactorPush) GetId() string { return "" }

type Verified struct{ Links map[string]any }

func (Verified) GetFactorResult() string { return "" }

type Transaction struct {
	UserFactorPushTransactionWaiting  *struct{}
	UserFactorPushTransaction         *struct{}
	UserFactorPushTransactionRejected *struct{}
	UserFactorPushTransactionTimeout  *struct{}
}
